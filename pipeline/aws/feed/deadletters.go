package feed

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
)

// DeadLetters is the part of a source's YAML that names the queues for what goes wrong.
type DeadLetters struct {
	Undelivered string `yaml:"undelivered,omitempty" doc:"queue of what could not be delivered to the source's queue; default: <queue>-undelivered"`
	Failed      string `yaml:"failed,omitempty" doc:"queue of messages that were received too often; default: <queue>-failed"`
	Receives    int    `yaml:"receives,omitempty" default:"10" min:"1" max:"1000" doc:"how often a message is handed out before it goes there; leat parks it at the last of them"`
}

// UndeliveredOf names the queue of what could not be delivered.
func (d DeadLetters) UndeliveredOf(queue string, fifo bool) string {
	if d.Undelivered != "" {
		return d.Undelivered
	}
	return Beside(queue, "undelivered", fifo)
}

// FailedOf names the queue of what was received too often: of the same kind, FIFO or standard.
func (d DeadLetters) FailedOf(queue string) string {
	if d.Failed != "" {
		return d.Failed
	}
	at, err := aws.ParseQueue(queue)
	return Beside(queue, "failed", err == nil && at.FIFO())
}

// ReceivesOr gives Receives, or its default.
func (d DeadLetters) ReceivesOr() int {
	if d.Receives == 0 {
		return 10
	}
	return d.Receives
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$|^[A-Za-z0-9_-]{1,75}\.fifo$`)

// CheckProvision says what is wrong with the fields that matter to provision. FIFO: the queue of what cannot be delivered
// must be a FIFO queue; else it must be none.
func CheckProvision(queue string, provision, adopt bool, d DeadLetters, fifo bool) error {
	if !provision {
		if adopt {
			return &config.FieldError{Field: "adopt", Err: errors.New("says nothing without provision: true")}
		}
		return nil
	}
	if !plain.MatchString(queue) {
		return &config.FieldError{Field: "queue", Err: fmt.Errorf("to provision, the queue is given by its name, not as %q", queue)}
	}
	kind := map[bool]string{true: "FIFO", false: "standard"}
	if at, err := aws.ParseQueue(d.UndeliveredOf(queue, fifo)); err != nil || at.FIFO() != fifo {
		return &config.FieldError{Field: "dead_letters", Err: fmt.Errorf("undelivered: %q must be the name of a %s queue: nothing else is taken for it", d.Undelivered, kind[fifo])}
	}
	own, _ := aws.ParseQueue(queue) // its form is known
	if at, err := aws.ParseQueue(d.FailedOf(queue)); err != nil || at.FIFO() != own.FIFO() {
		return &config.FieldError{Field: "dead_letters", Err: fmt.Errorf("failed: %q must be the name of a %s queue, as %s is", d.Failed, kind[own.FIFO()], queue)}
	}
	return nil
}
