package sqs

import "github.com/leatdev/leat/config"

// reading are the calls by which a queue is read.
var reading = []string{"sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}

// Permissions implements config.Permitted.
func (c Config) Permissions() []config.Statement {
	all := []config.Statement{config.Allow("ReadTheQueue", reading, c.QueueARN(c.Queue))}
	if p := c.S3; p.Mode != keepPointers && len(p.Buckets) > 0 {
		actions := []string{"s3:GetObject"}
		if p.Delete {
			actions = append(actions, "s3:DeleteObject")
		}
		var objects []string
		for _, b := range p.Buckets {
			objects = append(objects, "arn:aws:s3:::"+b+"/*")
		}
		all = append(all, config.Allow("ReadBodiesInS3", actions, objects...))
	}
	return all
}
