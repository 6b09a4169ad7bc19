package aws

import "strings"

// ARN gives the ARN of something by its name or ARN, with * for what the config does not say: for policies.
func (s Settings) ARN(service, name, prefix string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	region := s.Region
	if region == "" {
		region = "*"
	}
	return "arn:aws:" + service + ":" + region + ":*:" + prefix + name
}

// QueueARN is ARN of a queue that is given by name, URL or ARN.
func (s Settings) QueueARN(queue string) string {
	at, err := ParseQueue(queue)
	if err != nil || strings.HasPrefix(queue, "arn:") {
		return s.ARN("sqs", queue, "")
	}
	if at.Region != "" {
		s.Region = at.Region
	}
	return s.ARN("sqs", at.Name, "")
}
