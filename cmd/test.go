package cmd

import (
	"bufio"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/config/watch"
	"github.com/leatdev/leat/pipeline/pipelinetest"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// testFlags are the flags of test.
type testFlags struct {
	loading
	run, junit string
	coverage   float64
	watch      bool
	verbose    bool
}

func (a *app) testCommand() *cobra.Command {
	var t testFlags
	c := &cobra.Command{
		Use:   "test [FILE…]",
		Short: "Run the tests of pipeline files",
		Long: `Run the tests that stand under ` + "`tests:`" + ` in the files (a directory stands for its *.yaml files;
without FILE it is the present one). Each runs whole pipelines on stores in memory and on a clock that
the test moves; sources, sinks and what stubs stand in for are never touched, and nothing is written.

What a test did not do as expected is shown as a diff: - was expected, + is there instead. Steps that no
test reached are listed at the end.

Exit codes: 0 all passed; 1 a test failed, too few steps were reached (--coverage), or no test has a name
that --run matches; 2 the files have errors, or no tests.`,
		Example: `  leat test pipeline.yaml
  leat test pipelines/ --run refund --watch
  leat test pipelines/ --junit report.xml --coverage 90`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			if t.watch {
				return a.testAgain(c.Context(), args, &t)
			}
			return a.test(c.Context(), args, &t, watch.Take(nil))
		},
	}
	t.flags(c)
	f := c.Flags()
	f.StringVar(&t.run, "run", "", "only tests whose name this regular expression matches")
	f.StringVar(&t.junit, "junit", "", "also write the results to this file, as JUnit's XML")
	f.Float64Var(&t.coverage, "coverage", 0, "fail where less than this percentage of the steps is reached")
	f.BoolVar(&t.watch, "watch", false, "run again whenever one of the files changes")
	f.BoolVarP(&t.verbose, "verbose", "v", false, "name the tests that passed, too")
	_ = c.MarkFlagFilename("junit")
	return c
}

// test runs the tests once, and notes in read what they were made of.
func (a *app) test(ctx context.Context, files []string, t *testFlags, read *watch.Snapshot) error {
	var match func(string) bool
	if t.run != "" {
		re, err := regexp.Compile(t.run)
		if err != nil {
			return usagef("--run: %w", err)
		}
		match = re.MatchString
	}
	if t.coverage < 0 || t.coverage > 100 {
		return usagef("--coverage is a percentage, not %v", t.coverage)
	}
	o := t.options(a)
	o.Seen, o.SeenFolder = read.Seen, read.SeenFolder
	cfg, diags := config.Load(files, o)
	telemetry.HideSecrets(cfg)
	if err := a.diagnose(diags); err != nil {
		return err
	}
	if len(cfg.Tests) == 0 {
		return usagef("%s: there is no test to run; they stand under `tests:`", strings.Join(files, ", "))
	}
	out := bufio.NewWriter(a.out)
	rep := pipelinetest.Run(ctx, cfg, pipelinetest.Options{Match: match, Done: func(r *pipelinetest.Result) {
		if a.json {
			_ = writeLine(out, resultOf(r)) // Flush tells
			return
		}
		a.showResult(out, r, t.verbose)
	}})
	if t.junit != "" {
		if err := writeJUnit(t.junit, rep); err != nil {
			return environment(err)
		}
	}
	if a.json {
		_ = writeLine(out, map[string]any{"summary": summaryOf(rep)}) // Flush tells
	} else {
		a.showReport(out, rep, t.run == "" || t.coverage > 0)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, failed, _ := rep.Count()
	reached, all := rep.Coverage.Count()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(rep.Results) == 0:
		return &exitError{code: exitFailed, err: fmt.Errorf("--run %s matches none of %s", t.run, count(int64(len(cfg.Tests)), "test"))}
	case failed > 0:
		return exit(exitFailed)
	case float64(reached)*100 < t.coverage*float64(all):
		return &exitError{code: exitFailed, err: fmt.Errorf("--coverage: %s of the steps are reached, %v %% are asked for", percent(reached, all), t.coverage)}
	}
	return nil
}

func percent(n, of int) string {
	if of == 0 {
		return "100 %"
	}
	return fmt.Sprintf("%d %%", n*100/of)
}

// showResult prints one test: one that failed with all that is wrong, one that passed where that is asked for.
func (a *app) showResult(w io.Writer, r *pipelinetest.Result, verbose bool) {
	paint := func(code, s string) string {
		if !a.outColor() {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	at := fmt.Sprintf("%s:%d", r.Pos.File, r.Pos.Line)
	switch {
	case r.Skipped != "":
		fmt.Fprintf(w, "%s  %s  (%s)\n", paint("33", "skip"), visible(r.Name), visible(r.Skipped))
		return
	case r.Passed():
		if verbose {
			fmt.Fprintf(w, "%s    %s  (%s)\n", paint("32", "ok"), visible(r.Name), r.Took.Round(10*time.Microsecond))
		}
		return
	}
	fmt.Fprintf(w, "%s  %s  (%s)\n", paint("1;31", "FAIL"), paint("1", visible(r.Name)), at)
	for i := range r.Failures {
		f := &r.Failures[i]
		fmt.Fprintf(w, "  %s: %s\n", paint("1", fmt.Sprintf("%s:%d:%d", f.Pos.File, f.Pos.Line, f.Pos.Col)), telemetry.Redact(f.What))
		for _, l := range f.Diff {
			tint := map[byte]string{'-': "31", '+': "32"}[l.Mark]
			line := fmt.Sprintf("    %c %s", l.Mark, visible(telemetry.Redact(l.Text)))
			if tint != "" {
				line = paint(tint, line)
			} else {
				line = paint("2", line)
			}
			fmt.Fprintln(w, line)
		}
		for _, n := range f.Notes {
			fmt.Fprintf(w, "    = %s\n", visible(telemetry.Redact(n)))
		}
	}
}

// showReport prints the numbers, and what was never reached where that says something: not of a few of the tests.
func (a *app) showReport(w io.Writer, rep *pipelinetest.Report, never bool) {
	passed, failed, skipped := rep.Count()
	words := fmt.Sprintf("%s passed", count(int64(passed), "test"))
	if failed > 0 {
		words += fmt.Sprintf(", %d failed", failed)
	}
	if skipped > 0 {
		words += fmt.Sprintf(", %d skipped", skipped)
	}
	reached, all := rep.Coverage.Count()
	fmt.Fprintf(w, "%s in %s; %d of %d steps reached\n", words, rep.Took.Round(time.Millisecond), reached, all)
	if !never {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(rep.Coverage)) {
		for _, s := range rep.Coverage[name].Steps {
			if s.Reached == 0 {
				fmt.Fprintf(w, "  never reached: %s in %s (%s:%d)\n", s.Name, name, s.Pos.File, s.Pos.Line)
			}
		}
	}
}

// testResult is what --json prints of a test.
type testResult struct {
	Name     string        `json:"name"`
	Pipeline string        `json:"pipeline"`
	Result   string        `json:"result"` // passed, failed or skipped
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Seconds  float64       `json:"seconds"`
	Reason   string        `json:"reason,omitempty"` // of a skip
	Failures []testFailure `json:"failures,omitempty"`
}

type testFailure struct {
	File  string   `json:"file"`
	Line  int      `json:"line"`
	Col   int      `json:"col"`
	What  string   `json:"what"`
	Diff  []string `json:"diff,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

func resultOf(r *pipelinetest.Result) testResult {
	out := testResult{Name: r.Name, Pipeline: r.Pipeline, Result: "passed", File: r.Pos.File, Line: r.Pos.Line, Seconds: r.Took.Seconds(), Reason: r.Skipped}
	switch {
	case r.Skipped != "":
		out.Result = "skipped"
	case !r.Passed():
		out.Result = "failed"
	}
	for i := range r.Failures {
		f := &r.Failures[i]
		tf := testFailure{File: f.Pos.File, Line: f.Pos.Line, Col: f.Pos.Col, What: telemetry.Redact(f.What)}
		for _, l := range f.Diff {
			tf.Diff = append(tf.Diff, string(l.Mark)+" "+telemetry.Redact(l.Text))
		}
		for _, n := range f.Notes {
			tf.Notes = append(tf.Notes, telemetry.Redact(n))
		}
		out.Failures = append(out.Failures, tf)
	}
	return out
}

// testSummary is the last line of --json.
type testSummary struct {
	Passed  int           `json:"passed"`
	Failed  int           `json:"failed"`
	Skipped int           `json:"skipped"`
	Seconds float64       `json:"seconds"`
	Steps   int           `json:"steps"`
	Reached int           `json:"reached"`
	Never   []neverResult `json:"never_reached,omitempty"`
}

type neverResult struct {
	Pipeline string `json:"pipeline"`
	Step     string `json:"step"`
	File     string `json:"file"`
	Line     int    `json:"line"`
}

func summaryOf(rep *pipelinetest.Report) testSummary {
	var s testSummary
	s.Passed, s.Failed, s.Skipped = rep.Count()
	s.Seconds = rep.Took.Seconds()
	s.Reached, s.Steps = rep.Coverage.Count()
	for _, name := range slices.Sorted(maps.Keys(rep.Coverage)) {
		for _, step := range rep.Coverage[name].Steps {
			if step.Reached == 0 {
				s.Never = append(s.Never, neverResult{name, step.Name, step.Pos.File, step.Pos.Line})
			}
		}
	}
	return s
}

// The XML that JUnit's readers take: the common part of what Jenkins, GitLab and GitHub's actions read.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Skipped *junitSkipped `xml:"skipped,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

func writeJUnit(file string, rep *pipelinetest.Report) error {
	passed, failed, skipped := rep.Count()
	suite := junitSuite{Name: "leat", Tests: passed + failed + skipped, Failures: failed, Skipped: skipped, Time: seconds(rep.Took)}
	for _, r := range rep.Results {
		c := junitCase{Name: r.Name, Class: r.Pipeline, File: r.Pos.File, Line: r.Pos.Line, Time: seconds(r.Took)}
		if r.Skipped != "" {
			c.Skipped = &junitSkipped{r.Skipped}
		}
		if len(r.Failures) > 0 {
			var b strings.Builder
			plain := app{env: func(string) (string, bool) { return "", false }}
			plain.showResult(&b, r, false)
			c.Failure = &junitFailure{Message: telemetry.Redact(r.Failures[0].What), Text: b.String()}
		}
		suite.Cases = append(suite.Cases, c)
	}
	b, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return fmt.Errorf("junit: %w", err)
	}
	return os.WriteFile(file, append(append([]byte(xml.Header), b...), '\n'), 0o644) //nolint:gosec // a report that others read
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.4f", d.Seconds()) }
