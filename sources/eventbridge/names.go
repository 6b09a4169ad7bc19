package eventbridge

import (
	"fmt"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
)

// provisionable says what is wrong with the fields that matter to provision. What the bus cannot deliver goes to a standard
// queue: it takes no other.
func (c Config) provisionable() error {
	if c.Rule != "" && !ruleName.MatchString(c.Rule) {
		return &config.FieldError{Field: "rule", Err: fmt.Errorf("%q is no name of a rule: up to 64 letters, digits and . - _", c.Rule)}
	}
	return feed.CheckProvision(c.Queue, c.Provision, c.Adopt, c.DeadLetters, false)
}

// rule gives the name of the rule to provision: 64 characters at most, and no .fifo.
func (c Config) rule() string {
	if c.Rule != "" {
		return c.Rule
	}
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	name := at.Name
	if at.FIFO() {
		name = name[:len(name)-len(".fifo")]
	}
	return feed.Cut(name, 64)
}

func (c Config) group() string {
	if c.Group != "" {
		return c.Group
	}
	return "leat"
}

func (c Config) fifo() bool {
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	return at.FIFO()
}

func (c Config) age() time.Duration {
	if c.Delivery.Age == 0 {
		return 24 * time.Hour
	}
	return c.Delivery.Age
}
