package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestExamplesPassTheirTests runs `leat test` on every example whose files hold tests: all pass, and no step is left out.
func TestExamplesPassTheirTests(t *testing.T) {
	root := copyExamples(t)
	tested := 0
	for _, dir := range exampleFolders(t, filepath.Join(root, "examples")) {
		if !holdsTests(t, dir) {
			continue
		}
		tested++
		t.Run(filepath.Base(dir), func(t *testing.T) {
			args := append([]string{"test", "--no-env"}, together(root, dir)...)
			if len(together(root, dir)) == 1 {
				args = append(args, "--coverage", "100")
			}
			r := leat(t, root, nil, args...)
			if r.code != 0 {
				t.Log(r.out)
			}
			r.want(t, 0)
		})
	}
	if tested < 1 {
		t.Errorf("%d examples hold tests", tested)
	}
}

// together gives the folders that are run as one: a folder within an example adds to it.
func together(root, dir string) []string {
	if up := filepath.Dir(dir); filepath.Dir(up) == filepath.Join(root, "examples") {
		return []string{up, dir}
	}
	return []string{dir}
}

func holdsTests(t *testing.T, dir string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f string) bool {
		text, err := os.ReadFile(f)
		return err == nil && regexp.MustCompile(`(?m)^tests:`).Match(text)
	})
}

// copyExamples makes a folder with nothing but the examples, where what they write does no harm.
func copyExamples(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "examples"), os.DirFS("../../examples")); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestExamplesReadmes runs the commands of the ```console blocks in the READMEs of the examples, from the folder above
// examples/, one shell for each README, and compares what they print with what stands below them. Times and ports may
// differ; a line … stands for any number of lines.
func TestExamplesReadmes(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs daemons")
	}
	for _, tool := range []string{"bash", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if strings.Contains(","+os.Getenv("LEAT_TEST_REQUIRE")+",", ","+tool+",") {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	names, err := filepath.Glob("../../examples/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		commands := consoleBlocks(string(text))
		if len(commands) == 0 {
			continue
		}
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) { runConsole(t, commands) })
	}
}

// command is a command of a README with the output that stands below it.
type command struct {
	text, want string
	line       int
}

func consoleBlocks(text string) []command {
	var out []command
	in := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			in = strings.HasPrefix(line, "```console")
		case !in:
		case strings.HasPrefix(line, "$ "):
			out = append(out, command{text: line[2:], line: i + 1})
		case len(out) == 0:
		case strings.HasPrefix(line, "> ") && out[len(out)-1].want == "": // the command goes on
			out[len(out)-1].text += "\n" + line[2:]
		default:
			out[len(out)-1].want += line + "\n"
		}
	}
	return out
}

func runConsole(t *testing.T, commands []command) {
	t.Helper()
	root := copyExamples(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "leat")); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	const mark = "\x1e"
	var script strings.Builder
	script.WriteString("exec 2>&1\nset +m\n")
	for _, c := range commands {
		text := strings.ReplaceAll(c.text, "8087", port)
		fmt.Fprintf(&script, "printf '%s'\n%s\n", mark, text)
	}
	script.WriteString("kill $(jobs -p) 2>/dev/null; wait\n")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	sh := exec.CommandContext(ctx, "bash", "-c", script.String())
	sh.Dir = root
	sh.WaitDelay = 5 * time.Second
	sh.Env = append(os.Environ(), childEnv+"=1", "NO_COLOR=1", "PORT="+port, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	sh.Env = slices.DeleteFunc(sh.Env, func(s string) bool { return strings.HasPrefix(s, "LEAT_DATA=") })
	sh.Env = append(sh.Env, "LEAT_SERVER=127.0.0.1:"+port) // else it is the default address, as in the READMEs
	out, err := sh.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		t.Errorf("the commands did not end: %v", err)
	}
	parts := strings.Split(strings.ReplaceAll(string(out), port, "8087"), mark)[1:]
	for i, c := range commands {
		if i >= len(parts) {
			t.Errorf("line %d was not reached: %s", c.line, c.text)
			break
		}
		if got, want := settle(parts[i]), settle(c.want); !alike(want, got) {
			t.Errorf("line %d: $ %s (-README +real)\n%s", c.line, c.text, cmp.Diff(want, got))
		}
	}
}

var unsettled = []struct {
	is *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`"recorded":"[^"]*"`), `"recorded":"…"`},
	{regexp.MustCompile(`\b[0-9.]+(µs|ms|s)\b`), "…ms"},
	{regexp.MustCompile(`[ \t]+\n`), "\n"},
}

// settle replaces what is another in each run.
func settle(s string) []string {
	for _, u := range unsettled {
		s = u.is.ReplaceAllString(s, u.to)
	}
	return strings.Split(strings.TrimSpace(s), "\n")
}

// alike compares lines; … in want stands for any number of them.
func alike(want, got []string) bool {
	for i, line := range want {
		if line == "…" {
			for skip := range len(got) - i + 1 {
				if alike(want[i+1:], got[i+skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(got) || line != got[i] {
			return false
		}
	}
	return len(want) == len(got)
}
