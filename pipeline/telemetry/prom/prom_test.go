package prom

import (
	"compress/gzip"
	"io"
	"math"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestText(t *testing.T) {
	r := NewRegistry()
	c := r.Counter("b_total", "Things\nwith a \\.", "z", "a")
	c.With("1", "x").Add(2)
	c.With("1", "x").Add(3)
	c.With("0", "q\"u\\o\nte\xff").Add(5e9)
	c.With("gone", "").Add(1)
	c.Delete("gone", "")
	g := r.Gauge("a", "Plain.").With()
	g.Set(math.Inf(1))
	h := r.Histogram("h_seconds", "Times.", []float64{.5, 1}, "l").With("v")
	for _, n := range []float64{.1, .5, .75, 1, 7} {
		h.Observe(n)
	}
	r.Histogram("i", "None yet.", []float64{1})
	reset := r.Gauge("r", "Reset.", "l")
	reset.With("old").Set(1)
	reset.Reset()
	reset.With("new").Set(-1.5)
	r.Collect(func(p *Page) {
		p.Counter("b_total", "other words", 9, "a", "x", "z", "1") // there already
		p.Gauge("b_total", "other kind", 7, "a", "y")
		p.Gauge("no name", "?", 1)
		p.Gauge("", "?", 1)
		p.Gauge("0a", "?", 1)
	})
	want := `# HELP a Plain.
# TYPE a gauge
a +Inf
# HELP b_total Things\nwith a \\.
# TYPE b_total counter
b_total{a="q\"u\\o\nte�",z="0"} 5e+09
b_total{a="x",z="1"} 5
b_total{a="y"} 7
# HELP h_seconds Times.
# TYPE h_seconds histogram
h_seconds_bucket{l="v",le="0.5"} 2
h_seconds_bucket{l="v",le="1"} 4
h_seconds_bucket{l="v",le="+Inf"} 5
h_seconds_sum{l="v"} 9.35
h_seconds_count{l="v"} 5
# HELP r Reset.
# TYPE r gauge
r{l="new"} -1.5
`
	if d := cmp.Diff(want, string(r.Page().Text())); d != "" {
		t.Error(d)
	}
}

func TestEach(t *testing.T) {
	c := NewRegistry().Counter("c", "", "a", "b")
	c.With("1", "2").Add(3)
	c.Each(func(labels []string, n float64) {
		if labels[0] != "1" || labels[1] != "2" || n != 3 {
			t.Errorf("Each gives %v, %v", labels, n)
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("too few label values are taken")
		}
	}()
	c.With("1")
}

// The series of two labels cannot be taken for one another, whatever is in them.
func TestLabelsStayApart(t *testing.T) {
	c := NewRegistry().Counter("c", "", "a", "b")
	c.With("x,", "y").Add(1)
	if got := c.With("x", ",y").Get(); got != 0 {
		t.Errorf("another series has %v", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := NewRegistry()
	c, h := r.Counter("c", "", "l"), r.Histogram("h", "", []float64{1})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				c.With("v").Add(1)
				h.With().Observe(1)
			}
			r.Page().Text()
		})
	}
	wg.Wait()
	for _, line := range []string{`c{l="v"} 8000`, `h_bucket{le="1"} 8000`, `h_count 8000`, `h_sum 8000`} {
		if got := string(r.Page().Text()); !strings.Contains(got, line+"\n") {
			t.Errorf("no %s in\n%s", line, got)
		}
	}
}

func TestHandler(t *testing.T) {
	r := NewRegistry()
	r.Gauge("a", "A.").With().Set(1)
	for _, tt := range []struct {
		accept string
		zipped bool
	}{
		{"", false}, {"gzip", true}, {"deflate, GZIP;q=0.5", true}, {"gzip;q=0", false}, {"gzip;q=0.0", false}, {"br", false}, {"gzip;q=x", false}, {"gzipped", false},
	} {
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil)
		if tt.accept != "" {
			req.Header.Set("Accept-Encoding", tt.accept)
		}
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, req)
		var body io.Reader = w.Body
		if zipped := w.Header().Get("Content-Encoding") == "gzip"; zipped != tt.zipped {
			t.Errorf("Accept-Encoding %q: compressed %v", tt.accept, zipped)
			continue
		}
		if tt.zipped {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		if b, err := io.ReadAll(body); err != nil || string(b) != "# HELP a A.\n# TYPE a gauge\na 1\n" {
			t.Errorf("Accept-Encoding %q: %q, %v", tt.accept, b, err)
		}
		if kind := w.Header().Get("Content-Type"); kind != "text/plain; version=0.0.4; charset=utf-8" {
			t.Errorf("Content-Type %q", kind)
		}
	}
}

// Each line of a full page is one of the format's.
func TestRuntimeAndProcess(t *testing.T) {
	r := NewRegistry()
	r.Runtime()
	r.Process()
	page := string(r.Page().Text())
	line := regexp.MustCompile(`^(# (HELP \w+ [^\n]+|TYPE \w+ (counter|gauge|summary))|\w+(\{\w+="[^"]+"\})? (\+Inf|[0-9.]+(e[+-]\d+)?))$`)
	for l := range strings.Lines(page) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("a line %q", l)
		}
	}
	for _, n := range runtimeNumbers { // one that is missing has another name in this Go
		if !strings.Contains(page, "\n"+n.name+" ") {
			t.Errorf("the page lacks %s", n.name)
		}
	}
	for _, name := range []string{"go_info{", "go_gc_duration_seconds_count ", "go_gc_duration_seconds{quantile=\"0.25\"} ", "process_start_time_seconds "} {
		if !strings.Contains(page, "\n"+name) {
			t.Errorf("the page lacks %s", name)
		}
	}
}

func BenchmarkWith(b *testing.B) {
	c := NewRegistry().Counter("c", "", "a", "b")
	b.ReportAllocs()
	for b.Loop() {
		c.With("orders", "append").Add(1)
	}
}
