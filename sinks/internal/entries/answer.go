package entries

import (
	"fmt"
	"strconv"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
)

// Answer is what a service said of the entries of one call, by their places in it. What it says nothing of has failed.
type Answer struct {
	done    []int
	refused []refusal
}

type refusal struct {
	at            int
	code, message string
}

// Took notes an entry that the service has taken.
func (a *Answer) Took(at int) { a.done = append(a.done, at) }

// Refused notes an entry that it has not, with its code and words.
func (a *Answer) Refused(at int, code, message *string) {
	a.refused = append(a.refused, refusal{at, awssdk.ToString(code), awssdk.ToString(message)})
}

// ID names an entry by its place in the call, for services that want a name.
func ID(at int) *string { return awssdk.String(strconv.Itoa(at)) }

// At reads an ID; -1 where it is none.
func At(id *string) int {
	at, err := strconv.Atoi(awssdk.ToString(id))
	if err != nil {
		return -1
	}
	return at
}

// failed gives what failed of n entries.
func (a *Answer) failed(service string, n int) map[int]error {
	answered, out := make([]bool, n), map[int]error{}
	for _, i := range a.done {
		if i >= 0 && i < n {
			answered[i] = true
		}
	}
	for _, r := range a.refused {
		if r.at >= 0 && r.at < n {
			answered[r.at] = true
			out[r.at] = aws.EntryOutcome(r.code, fmt.Errorf("%s: %s: %s", service, r.code, r.message))
		}
	}
	for i, ok := range answered {
		if !ok {
			out[i] = event.Unavailable(0, fmt.Errorf("%s: the answer does not say what became of the message", service))
		}
	}
	return out
}
