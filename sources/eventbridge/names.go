package eventbridge

import (
	"errors"
	"fmt"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
)

// provisionable says what is wrong with the fields that matter to provision.
func (c Config) provisionable() error {
	switch {
	case c.Rule != "" && !ruleName.MatchString(c.Rule):
		return &config.FieldError{Field: "rule", Err: fmt.Errorf("%q is no name of a rule: up to 64 letters, digits and . - _", c.Rule)}
	case !c.Provision:
		if c.Adopt {
			return &config.FieldError{Field: "adopt", Err: errors.New("says nothing without provision: true")}
		}
		return nil
	case !plain.MatchString(c.Queue):
		return &config.FieldError{Field: "queue", Err: fmt.Errorf("to provision, the queue is given by its name, not as %q", c.Queue)}
	}
	if at, err := aws.ParseQueue(c.undelivered()); err != nil || at.FIFO() {
		return &config.FieldError{Field: "dead_letters", Err: fmt.Errorf("undelivered: %q must be the name of a standard queue: the bus takes no other", c.undelivered())}
	}
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	if dead, err := aws.ParseQueue(c.failed()); err != nil || dead.FIFO() != at.FIFO() {
		return &config.FieldError{Field: "dead_letters", Err: fmt.Errorf("failed: %q must be the name of a queue of the same kind as %s, FIFO or standard", c.failed(), c.Queue)}
	}
	return nil
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
	if len(name) > 64 {
		name = feed.Cut(name, 64)
	}
	return name
}

func (c Config) undelivered() string {
	if c.DeadLetters.Undelivered != "" {
		return c.DeadLetters.Undelivered
	}
	return feed.Beside(c.Queue, "undelivered", false)
}

func (c Config) failed() string {
	if c.DeadLetters.Failed != "" {
		return c.DeadLetters.Failed
	}
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	return feed.Beside(c.Queue, "failed", at.FIFO())
}

func (c Config) group() string {
	if c.Group != "" {
		return c.Group
	}
	return "leat"
}

func (c Config) receives() int {
	if c.DeadLetters.Receives == 0 {
		return 10
	}
	return c.DeadLetters.Receives
}

func (c Config) fifo() bool {
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	return at.FIFO()
}
