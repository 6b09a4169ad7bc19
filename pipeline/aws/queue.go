package aws

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Queue is where a queue is, as far as what names it says.
type Queue struct{ URL, Name, Account, Region string }

// FIFO reports whether it is a FIFO queue: its name says so.
func (q Queue) FIFO() bool { return strings.HasSuffix(q.Name, ".fifo") }

var (
	queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$|^[A-Za-z0-9_-]{1,75}\.fifo$`)
	queueURL  = regexp.MustCompile(`^https?://([^/]+)/(?:.*/)?([0-9]*)/?([^/]+)$`)
	hostsAt   = regexp.MustCompile(`^(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.amazonaws\.com`)
)

// ParseQueue reads the name, URL or ARN of a queue.
func ParseQueue(s string) (Queue, error) {
	switch {
	case s == "":
		return Queue{}, errors.New("names no queue")
	case strings.HasPrefix(s, "arn:"):
		p := strings.Split(s, ":")
		if len(p) != 6 || p[2] != "sqs" || !queueName.MatchString(p[5]) {
			return Queue{}, fmt.Errorf("%q is no ARN of a queue, like arn:aws:sqs:eu-west-1:123456789012:orders", s)
		}
		return Queue{Name: p[5], Account: p[4], Region: p[3]}, nil
	case strings.Contains(s, "://"):
		m := queueURL.FindStringSubmatch(s)
		if m == nil || !queueName.MatchString(m[3]) {
			return Queue{}, fmt.Errorf("%q is no URL of a queue, like https://sqs.eu-west-1.amazonaws.com/123456789012/orders", s)
		}
		p := Queue{URL: s, Name: m[3]}
		if at := hostsAt.FindStringSubmatch(m[1]); at != nil {
			p.Region = at[1] + at[2]
		}
		return p, nil
	case !queueName.MatchString(s):
		return Queue{}, fmt.Errorf("%q is no name of a queue: up to 80 letters, digits, - and _, and .fifo at the end of a FIFO queue's", s)
	}
	return Queue{Name: s}, nil
}
