// Testlog reads what `make test TEST_FLAGS=-json` prints and writes what go test prints without -json: a line for each
// package, and all that a failed test said. At the end it counts packages and tests and lists each skipped test with its
// reason. A skipped test is one that nobody ran, so it fails the run as a failed one does.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	ok, err := read(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// record is a line of `go test -json` (go doc test2json).
type record struct {
	Action, Package, Test, Output string
}

type name struct{ pkg, test string }

func (n name) String() string { return n.pkg + " " + n.test }

type log struct {
	out    io.Writer
	output map[name][]string // of tests that run
	began  []name            // those, as they began
	// What came of packages and of tests; packages without tests count as packages alone.
	passed, failed, empty, tests int
	skips                        []skip
	failures                     []name
}

type skip struct {
	name
	reason string
}

// read writes the log and its summary to out, and says whether all was run and passed.
func read(in io.Reader, out io.Writer) (ok bool, err error) {
	l := &log{out: out, output: map[name][]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var r record
		switch {
		case bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &r) == nil && r.Action != "":
			l.take(r)
		default: // what make itself prints
			_, _ = out.Write(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
	}
	return l.summary(), nil
}

func (l *log) take(r record) {
	n := name{r.Package, r.Test}
	switch r.Action {
	case "build-output":
		fmt.Fprint(l.out, r.Output)
	case "run":
		l.began = append(l.began, n)
	case "output":
		if r.Test == "" {
			if r.Output != "PASS\n" {
				fmt.Fprint(l.out, r.Output)
			}
			return
		}
		l.output[n] = append(l.output[n], r.Output)
	case "pass", "fail", "skip":
		if r.Test == "" {
			l.ended(r)
			return
		}
		l.tests++
		switch r.Action {
		case "fail":
			l.show(n)
			l.failures = append(l.failures, n)
		case "skip":
			l.skips = append(l.skips, skip{n, l.reason(n)})
		}
		l.forget(n)
	}
}

// ended is a package's end. Tests that have not ended by then were cut off by a panic, an exit or the timeout.
func (l *log) ended(r record) {
	switch r.Action {
	case "pass":
		l.passed++
	case "skip":
		l.empty++
	case "fail":
		l.failed++
	}
	for _, n := range slices.Clone(l.began) {
		if n.pkg == r.Package {
			l.cut(n)
		}
	}
}

func (l *log) cut(n name) {
	l.tests++
	l.show(n)
	l.failures = append(l.failures, n)
	l.forget(n)
}

func (l *log) show(n name) {
	for _, line := range l.output[n] {
		if !strings.HasPrefix(line, "=== ") {
			fmt.Fprint(l.out, line)
		}
	}
}

func (l *log) forget(n name) {
	delete(l.output, n)
	l.began = slices.DeleteFunc(l.began, func(m name) bool { return m == n })
}

// reason is what a skipped test said, without the marks of go test.
func (l *log) reason(n name) string {
	var said []string
	for _, line := range l.output[n] {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- SKIP") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "it does not say why"
	}
	return strings.Join(said, " ")
}

func (l *log) summary() (ok bool) {
	for _, n := range slices.Clone(l.began) { // their package never ended: the run itself was cut off
		l.cut(n)
	}
	fmt.Fprintf(l.out, "\n== summary: %d packages ok, %d failed, %d without tests; %d tests, %d failed, %d skipped\n",
		l.passed, l.failed, l.empty, l.tests, len(l.failures), len(l.skips))
	for _, n := range l.failures {
		fmt.Fprintf(l.out, "failed: %s\n", n)
	}
	for _, s := range l.skips {
		fmt.Fprintf(l.out, "skipped: %s: %s\n", s.name, s.reason)
	}
	return l.passed > 0 && l.failed == 0 && len(l.failures) == 0 && len(l.skips) == 0
}
