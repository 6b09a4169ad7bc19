package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// shown is a command that a page shows, with what it is to print and its exit code.
type shown struct {
	line    int
	command string
	want    []string
	code    string
}

// consoles gives the commands of the console blocks of a page: lines that start with "$ ", each with the lines below it;
// "[exit 2]" stands last where it fails.
func consoles(text string) (out []shown) {
	in := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			in = !in && line == "```console"
		case !in:
		case strings.HasPrefix(line, "$ "):
			out = append(out, shown{line: i + 1, command: line[2:], code: "0"})
		case len(out) > 0:
			x := &out[len(out)-1]
			if code, ok := strings.CutPrefix(line, "[exit "); ok {
				x.code = strings.TrimSuffix(code, "]")
			} else {
				x.want = append(x.want, line)
			}
		}
	}
	return out
}

// matches compares what was printed with what is shown: … stands for anything within a line, a line that is … alone for
// any lines.
func (s shown) matches(got string) bool {
	var b strings.Builder
	b.WriteString("^")
	for _, line := range s.want {
		if line == "…" {
			b.WriteString(`(?:[^\n]*\n)*`)
			continue
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", `[^\n]*`) + `\n`)
	}
	return regexp.MustCompile(b.String() + "$").MatchString(got)
}

// noise is what a terminal would show elsewhere or not at all: logs, and a default address that a test beside this one has.
var noise = regexp.MustCompile(`(?m)^(\{"time":"[^\n]*|leat: 127\.0\.0\.1:8087 is taken[^\n]*)\n`)

// Every command of the tutorial does what the tutorial says, one after another in one folder.
func TestTutorial(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil && runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	for _, page := range []string{"tutorial.md"} {
		t.Run(page, func(t *testing.T) { runPage(t, filepath.Join("../../docs", page)) })
	}
}

func runPage(t *testing.T, page string) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), t.TempDir()
	shim := "#!/bin/sh\n" + childEnv + "=1 exec '" + os.Args[0] + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "leat"), []byte(shim), 0o700); err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LEAT_") && !strings.HasPrefix(v, "PATH=") {
			env = append(env, v)
		}
	}
	env = append(env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "GORACE=atexit_sleep_ms=10")
	all := consoles(string(text))
	if len(all) < 10 {
		t.Fatalf("%s shows %d commands", page, len(all))
	}
	for _, s := range all {
		c := exec.CommandContext(t.Context(), "sh", "-c", s.command)
		c.Dir, c.Env = dir, env
		out, err := c.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		got := noise.ReplaceAllString(string(out), "")
		if code := strconv.Itoa(c.ProcessState.ExitCode()); s.code != code {
			t.Fatalf("%s:%d: %s\nexit code %s, want %s\n%s", page, s.line, s.command, code, s.code, got)
		}
		if !s.matches(got) {
			t.Fatalf("%s:%d: %s\nprints\n%s\nand not\n%s", page, s.line, s.command, got, strings.Join(s.want, "\n"))
		}
	}
}
