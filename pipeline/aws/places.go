package aws

import "strings"

// Places name the ends of what lies outside, for the check of loops (config.Place): the same for a source and a sink that
// mean the same queue, bus or topic, whichever way they name it.

// Place names a queue.
func (s Settings) Place(queue string) string {
	q, err := ParseQueue(queue)
	if err != nil {
		return "sqs " + queue
	}
	return place("sqs", q.Name, q.Region, s.Region)
}

// BusPlace names a bus; "" is the default one.
func (s Settings) BusPlace(bus string) string {
	if bus == "" {
		bus = "default"
	}
	return s.arnPlace("eventbridge bus", bus, "event-bus/")
}

// TopicPlace names a topic.
func (s Settings) TopicPlace(topic string) string { return s.arnPlace("sns topic", topic, "") }

func (s Settings) arnPlace(kind, name, prefix string) string {
	if p := strings.SplitN(name, ":", 6); len(p) == 6 {
		return place(kind, strings.TrimPrefix(p[5], prefix), p[3], s.Region)
	}
	return place(kind, name, "", s.Region)
}

func place(kind, name, region, otherwise string) string {
	if region == "" {
		region = otherwise
	}
	return strings.TrimSpace(kind + " " + name + " " + region)
}
