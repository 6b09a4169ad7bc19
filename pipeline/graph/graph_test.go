package graph

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"

	_ "github.com/leatdev/leat/pipeline/eventstore/memory"
	_ "github.com/leatdev/leat/pipeline/eventstore/sqlite"
	_ "github.com/leatdev/leat/sinks/file"
	_ "github.com/leatdev/leat/sinks/http"
	_ "github.com/leatdev/leat/sinks/sqs"
	_ "github.com/leatdev/leat/sinks/stdout"
	_ "github.com/leatdev/leat/sources/eventlog"
	_ "github.com/leatdev/leat/sources/file"
	_ "github.com/leatdev/leat/sources/http"
	_ "github.com/leatdev/leat/sources/sqs"
)

var update = flag.Bool("update", false, "write the pictures anew")

func same(s string) string { return s }

func load(t *testing.T, yaml string) *config.Config {
	t.Helper()
	cfg, ds := config.LoadBytes("test.yaml", []byte(yaml), config.Options{NoEnv: true})
	for _, d := range ds {
		if d.Severity == config.Error {
			t.Fatal(d.Text(false))
		}
	}
	return cfg
}

var formats = []struct {
	ext  string
	draw func(*Graph) []byte
}{{".mmd", (*Graph).Mermaid}, {".dot", (*Graph).DOT}, {".svg", (*Graph).SVG}, {".txt", (*Graph).Text}}

// The pictures in testdata have been looked at.
func TestPictures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		g := Build(load(t, string(b)), same)
		for _, format := range formats {
			name := strings.TrimSuffix(f, ".yaml") + format.ext
			got := format.draw(g)
			if *update {
				if err := os.WriteFile(name, got, 0o600); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// edges writes a graph's edges by the titles and texts of their nodes.
func edges(g *Graph) (out []string) {
	name := func(n int) string { return strings.TrimSpace(g.Nodes[n].Title + " " + g.Nodes[n].Text) }
	for _, e := range g.Edges {
		s := fmt.Sprintf("%s -> %s", name(e.From), name(e.To))
		if e.Link != Flow {
			s += " " + string(e.Link)
		}
		out = append(out, s)
	}
	return out
}

func TestBuild(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		want       []string
	}{
		{"steps to one target are one relay", `
pipelines:
  p:
    source: { file: { path: in } }
    steps:
      - append: { stream: "a/{{ id }}" }
      - project: { table: t, key: { id: id }, set: { a: data.a } }
      - project: { table: t, key: { id: id }, set: { b: data.b } }
`, []string{"file in -> append a/{{ id }}", "project -> table t", "append a/{{ id }} -> project read"}},
		{"without a log", `
pipelines:
  p:
    source: { file: { path: in } }
    steps:
      - filter: data.a
      - forward: { stdout: {} }
`, []string{"file in -> filter data.a", "forward -> stdout", "filter data.a -> forward"}},
		{"an outbox is an append", `
pipelines:
  p:
    source: { file: { path: in } }
    outbox: true
    steps:
      - filter: data.a
      - forward: { stdout: {} }
`, []string{"file in -> filter data.a", "filter data.a -> append $outbox.p", "forward -> stdout", "append $outbox.p -> forward read"}},
		{"a file between two pipelines", `
pipelines:
  p: { source: { file: { path: in } }, steps: [ { forward: { file: { path: ./mid } } } ] }
  q: { source: { file: { path: mid } }, steps: [ { forward: { stdout: {} } } ] }
`, []string{"forward -> file mid", "file in -> forward", "forward -> stdout", "file mid -> forward"}},
		{"a loop over two queues", `
pipelines:
  p: { source: { sqs: { queue: a } }, steps: [ { forward: { sqs: { queue: b } } } ] }
  q: { source: { sqs: { queue: b } }, steps: [ { forward: { sqs: { queue: a } } } ] }
`, []string{"forward -> sqs b loop", "sqs a -> forward", "forward -> sqs a loop", "sqs b -> forward"}},
		{"no loop where a match keeps it out", `
pipelines:
  p: { source: { sqs: { queue: a } }, steps: [ { match: { source: [shop] } }, { forward: { sqs: { queue: a }, source: leat } } ] }
`, []string{`sqs a -> match {"source":["shop"]}`, "forward -> sqs a", `match {"source":["shop"]} -> forward`}},
		{"a log between two pipelines", `
pipelines:
  p: { source: { file: { path: in } }, steps: [ { append: { stream: "a/{{ id }}" } }, { forward: { stdout: {} } } ] }
  q: { source: { event_log: { origins: [p] } }, steps: [ { project: { table: t, key: { id: id }, set: { a: data.a } } } ] }
`, []string{"file in -> append a/{{ id }}", "append a/{{ id }} -> log store main", "forward -> stdout", "append a/{{ id }} -> forward read", "project -> table t", "log store main -> project read"}},
		{"copies of what is poisoned", `
pipelines:
  p:
    source: { file: { path: in } }
    steps: [ { append: { stream: "a/{{ id }}" } }, { forward: { stdout: {} } } ]
    poison: { copy: { sqs: { queue: alarms } } }
`, []string{"file in -> append a/{{ id }}", "forward -> stdout", "append a/{{ id }} -> forward read", "append a/{{ id }} -> sqs alarms poison"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, edges(Build(load(t, tt.yaml), same))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What stands in names and expressions is shown, and steers nothing.
func TestHostileTexts(t *testing.T) {
	const text = `data.a == "</text><script>alert(1)</script>" && data.b == '"];x-->y;%%{' && data.c == "` + "`" + `\\" && data.d == "注文"`
	g := Build(load(t, fmt.Sprintf("pipelines:\n  p:\n    source: { file: { path: in } }\n    steps:\n      - filter: |-\n          %s\n      - forward: { stdout: {} }\n", text)), same)
	for i := range g.Nodes { // without the cut, so that all of it is there
		if g.Nodes[i].Title == "filter" {
			g.Nodes[i].Text = text
		}
	}
	mermaid := string(g.Mermaid())
	for line := range strings.Lines(mermaid) {
		if strings.Contains(line, "filter") && strings.Count(line, `"`) != 2 {
			t.Errorf("mermaid: the label breaks out: %s", line)
		}
	}
	for _, bad := range []string{"<script", "`", "x-->y;"} {
		if strings.Contains(mermaid, bad) {
			t.Errorf("mermaid holds %q:\n%s", bad, mermaid)
		}
	}
	svg := string(g.SVG())
	found := false
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("svg: %v\n%s", err, svg)
		}
		if s, ok := tok.(xml.StartElement); ok && s.Name.Local == "script" {
			t.Error("svg: a script got in")
		}
		if c, ok := tok.(xml.CharData); ok && string(c) == text {
			found = true
		}
	}
	if !found {
		t.Errorf("svg does not show the text as it is:\n%s", svg)
	}
	if dot := string(g.DOT()); !strings.Contains(dot, `\"];x-->y;%%{`) {
		t.Errorf("dot:\n%s", dot)
	}
	if txt := string((&Graph{Pipelines: []string{"a\x1b[31m"}}).Text()); strings.Contains(txt, "\x1b") {
		t.Errorf("text steers the terminal: %q", txt)
	}
}

func TestTextsAreRedactedBeforeTheyAreCut(t *testing.T) {
	secret := strings.Repeat("s", 60)
	g := Build(load(t, "pipelines: { p: { source: { file: { path: "+secret+" } }, steps: [ { forward: { stdout: {} } } ] } }"), func(s string) string {
		return strings.ReplaceAll(s, secret, "***")
	})
	if g.Nodes[0].Text != "***" {
		t.Errorf("%+v", g.Nodes[0])
	}
}

// Boxes do not overlap, and edges lead to the right unless they lead back.
func TestLayout(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		g := Build(load(t, string(b)), same)
		l := g.arrange()
		for i, a := range l.boxes {
			if a.x < 0 || a.y < 0 || a.x+a.w > l.width || a.y+a.h > l.height {
				t.Errorf("%s: %+v lies outside", f, g.Nodes[i])
			}
			for j, b := range l.boxes[:i] {
				if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
					t.Errorf("%s: %+v lies over %+v", f, g.Nodes[i], g.Nodes[j])
				}
			}
		}
		for i, e := range g.Edges {
			if !l.back[i] && e.Link != Look && l.boxes[e.To].x <= l.boxes[e.From].x {
				t.Errorf("%s: the edge %v leads to the left", f, e)
			}
		}
	}
}
