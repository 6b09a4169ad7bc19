package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/check"
)

// Report is what was found of what feeds a queue.
type Report struct {
	// Lacks are things without which nothing can ever arrive; Faults let something through; Well is as it should be.
	Lacks, Faults, Well []check.Finding
}

// Lack notes something without which nothing can arrive, and what to do.
func (r *Report) Lack(mend, format string, args ...any) {
	r.Lacks = append(r.Lacks, check.Problemf(format, args...).With("%s", mend))
}

// Fault notes something that spoils the feed, and what to do.
func (r *Report) Fault(mend, format string, args ...any) {
	r.Faults = append(r.Faults, check.Warnf(format, args...).With("%s", mend))
}

// OK notes what is well.
func (r *Report) OK(format string, args ...any) { r.Well = append(r.Well, check.Okf(format, args...)) }

// Pardon makes faults of all lacks from the n-th on: something else lets events through.
func (r *Report) Pardon(n int) {
	for _, f := range r.Lacks[n:] {
		f.Severity = check.Warning
		r.Faults = append(r.Faults, f)
	}
	r.Lacks = r.Lacks[:n]
}

// Err is why a source cannot start; nil where something can arrive. Source is the plugin's name.
func (r *Report) Err(source string) error {
	if len(r.Lacks) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("no event can arrive")
	for _, f := range r.Lacks {
		fmt.Fprintf(&b, "\n  - %s: %s", f.What, f.Mend)
	}
	fmt.Fprintf(&b, "\nLet leat make it (provision: true), or deploy it: `leat describe source %s` with --cloudformation, --terraform or --policy and the pipeline file prints what it takes", source)
	return &GoneError{Words: b.String()}
}

// Findings gives all of it to doctor. What leat makes at its next start is a warning, unless it begins with one of the
// words; where it makes nothing, the first lack has the templates.
func (r *Report) Findings(provision bool, notMade []string, templates string) []check.Finding {
	lacks := slices.Clone(r.Lacks)
	for i := range lacks {
		switch {
		case !provision && i == 0:
			lacks[i].Mend += ", let leat make it (provision: true), or deploy one of these.\n" + templates
		case provision && !slices.ContainsFunc(notMade, func(w string) bool { return strings.HasPrefix(lacks[i].What, w) }):
			lacks[i].Severity, lacks[i].Mend = check.Warning, "leat makes it at its next start (provision: true)"
		}
	}
	return slices.Concat(r.Well, lacks, r.Faults)
}

// Finding makes one of an error: what is missing or another's is a problem, what denies or does not answer cannot be
// reached.
func Finding(err error) check.Finding {
	var gone *GoneError
	var foreign *ForeignError
	switch {
	case errors.As(err, &gone), errors.As(err, &foreign), aws.KindOf(err) == aws.Missing, aws.KindOf(err) == aws.Invalid:
		return check.Problemf("%v", err)
	}
	return check.Unreachablef("%v", err)
}

// There is what a look for what a plugin writes to came to.
func There(what, name string, err error) []check.Finding {
	if err != nil {
		return []check.Finding{Finding(err)}
	}
	return []check.Finding{check.Okf("the %s %s is there", what, name)}
}

// Report looks at a queue that is to be fed, and notes what it finds. It gives nil where there is none.
func (q *Queues) Report(ctx context.Context, name string, found *Report) (*Queue, error) {
	queue, err := q.Look(ctx, name)
	if err != nil {
		return nil, err
	}
	if queue == nil {
		found.Lack("create the queue", "the queue %s does not exist in this region and account", name)
		return nil, nil
	}
	found.OK("the queue %s is there", name)
	if queue.Attributes["RedrivePolicy"] == "" {
		found.Fault("give the queue a redrive policy", "the queue %s has no dead-letter queue: what kills leat whenever it comes, comes for ever", name)
	}
	return queue, nil
}

// make is Ensure that notes what it did.
func (q *Queues) make(ctx context.Context, done *[]string, spec Spec) (*Queue, error) {
	before, err := q.Look(ctx, spec.Name)
	if err != nil {
		return nil, err
	}
	found, err := q.Ensure(ctx, spec)
	switch {
	case err != nil:
	case before == nil:
		*done = append(*done, "queue "+spec.Name)
	case spec.Dead != "" && before.Attributes["RedrivePolicy"] == "":
		*done = append(*done, "redrive policy of queue "+spec.Name)
	}
	return found, err
}

// LetIn is Allow, for a queue and the one beside it, that notes what it did.
func (q *Queues) LetIn(ctx context.Context, done *[]string, service, sourceARN, what string, queues ...*Queue) error {
	for _, found := range queues {
		before := found.Policy()
		if err := q.Allow(ctx, found, Let(service, found.ARN, sourceARN)); err != nil {
			return err
		}
		if found.Policy() != before {
			*done = append(*done, fmt.Sprintf("the policy of queue %s lets %s in", found.Name, what))
		}
	}
	return nil
}
