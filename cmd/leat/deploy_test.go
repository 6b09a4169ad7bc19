package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// The page on production lists every metric.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../pipeline/telemetry/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	metric := regexp.MustCompile(`"(leat_[a-z_]+)", (?:Help: )?"`)
	found := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range metric.FindAllStringSubmatch(string(text), -1) {
			found++
			if !strings.Contains(string(page), "`"+m[1]+"`") {
				t.Errorf("docs/deploy.md does not list %s", m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("%d metrics: the test looks at the wrong thing", found)
	}
}

// Links between the pages lead somewhere.
func TestLinksInDocs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md", "../../docs/reference/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// The commands of the Dockerfile build a leat that says its version, from no more than what .dockerignore lets in.
func TestDockerfile(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles leat")
	}
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]bool{}
	run := ""
	lines := strings.Split(strings.ReplaceAll(string(text), "\\\n", " "), "\n")
	for _, line := range lines {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "", "ARG", "WORKDIR", "LABEL", "ENV", "VOLUME", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD":
		case "FROM":
			if _, name, ok := strings.Cut(rest, " AS "); ok {
				stages[name] = true
			}
		case "COPY":
			if m := regexp.MustCompile(`--from=(\S+)`).FindStringSubmatch(rest); m != nil {
				if !stages[m[1]] {
					t.Errorf("%s: there is no stage %s", line, m[1])
				}
				continue
			}
			for _, f := range strings.Fields(rest)[:len(strings.Fields(rest))-1] {
				if _, err := os.Stat(filepath.Join("../..", f)); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
		case "RUN":
			if strings.Contains(rest, "go build") {
				run = regexp.MustCompile(`--mount=\S+`).ReplaceAllString(rest, "")
			}
		default:
			if !strings.HasPrefix(word, "#") {
				t.Errorf("no instruction of a Dockerfile: %s", line)
			}
		}
	}
	if run == "" {
		t.Fatal("nothing is built")
	}
	out := t.TempDir()
	c := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(run, "/out", out))
	c.Dir = "../.."
	c.Env = append(os.Environ(), "TARGETOS="+runtime.GOOS, "TARGETARCH="+runtime.GOARCH, "VERSION=v9.9.9", "GOPROXY=off")
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v\n%s", run, err, said)
	}
	said, err := exec.CommandContext(t.Context(), filepath.Join(out, "leat"), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(said), "leat v9.9.9 ") {
		t.Errorf("version: %v\n%s", err, said)
	}
}
