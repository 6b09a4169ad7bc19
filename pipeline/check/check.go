// Package check is what plugins say of their surroundings when `leat doctor` asks: findings, each with its severity, what
// was found, and what to do about it.
//
// A plugin's config struct answers by implementing sources.Checker, sinks.Checker or eventstore.Checker. A check looks
// and changes nothing that stays: it takes no event, makes no queue, and leaves no file behind. It returns when its
// context is done, and shows no secret. The package imports the standard library alone.
package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
)

// Severity ranks findings.
type Severity string

// The severities, from good to bad.
const (
	// OK: it was looked at, and it is as it should be.
	OK Severity = "ok"
	// Warning: it works, but not as well or as safely as it could.
	Warning Severity = "warning"
	// Problem: leat would run, and not do what the config says, or not start.
	Problem Severity = "problem"
	// Unreachable: what the config names does not answer, or does not let us in; what lies behind it could not be looked at.
	Unreachable Severity = "unreachable"
)

var ranks = map[Severity]int{OK: 0, Warning: 1, Problem: 2, Unreachable: 3}

// Worse reports whether s is worse than other.
func (s Severity) Worse(other Severity) bool { return ranks[s] > ranks[other] }

// Finding is one thing that was looked at.
type Finding struct {
	Severity Severity `json:"severity"`
	// What is the fact, with the name of the thing: "the folder out does not exist".
	What string `json:"what"`
	// Mend is what to do, best a command to type; empty where nothing is to be done.
	Mend string `json:"mend,omitempty"`
}

// Okf makes a finding of what is well; With adds what to do to any finding.
func Okf(format string, args ...any) Finding { return Finding{OK, fmt.Sprintf(format, args...), ""} }

// Warnf makes a warning.
func Warnf(format string, args ...any) Finding {
	return Finding{Warning, fmt.Sprintf(format, args...), ""}
}

// Problemf makes a problem.
func Problemf(format string, args ...any) Finding {
	return Finding{Problem, fmt.Sprintf(format, args...), ""}
}

// Unreachablef makes a finding of what does not answer.
func Unreachablef(format string, args ...any) Finding {
	return Finding{Unreachable, fmt.Sprintf(format, args...), ""}
}

// With gives the finding with what to do about it.
func (f Finding) With(format string, args ...any) Finding {
	f.Mend = fmt.Sprintf(format, args...)
	return f
}

// Error makes a finding of an error of the surroundings: what does not answer or does not let us in is Unreachable, else
// it is a Problem.
func Error(what string, err error) Finding {
	// Not net.Error, which every error of a system call is.
	var operation *net.OpError
	var name *net.DNSError
	if errors.As(err, &operation) || errors.As(err, &name) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, fs.ErrPermission) || errors.Is(err, os.ErrDeadlineExceeded) {
		return Unreachablef("%s: %v", what, err)
	}
	return Problemf("%s: %v", what, err)
}

// Worst gives the worst severity among findings, OK where there are none.
func Worst(findings []Finding) Severity {
	worst := OK
	for _, f := range findings {
		if f.Severity.Worse(worst) {
			worst = f.Severity
		}
	}
	return worst
}
