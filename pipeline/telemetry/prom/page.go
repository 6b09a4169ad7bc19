package prom

import (
	"cmp"
	"compress/gzip"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Page is what one scrape sees: families by name, series by labels.
type Page struct{ families map[string]*family }

type family struct {
	help, kind string
	series     map[string][]sample // by its labels as text, without braces
}

// sample is one line of a series.
type sample struct {
	suffix string  // behind the family's name
	label  string  // le or quantile, with bound as its value; "" for none
	bound  float64 //
	value  float64
}

// Counter shows a counter; labels are names and values in turns.
func (p *Page) Counter(name, help string, n float64, labels ...string) {
	p.one(name, help, "counter", n, labels)
}

// Gauge shows a gauge; labels are names and values in turns.
func (p *Page) Gauge(name, help string, n float64, labels ...string) {
	p.one(name, help, "gauge", n, labels)
}

func (p *Page) one(name, help, kind string, n float64, labels []string) {
	names, values := make([]string, 0, len(labels)/2), make([]string, 0, len(labels)/2)
	for pair := range slices.Chunk(labels, 2) {
		names, values = append(names, pair[0]), append(values, pair[1])
	}
	p.add(name, help, kind, names, values, []sample{{value: n}})
}

// add shows a series. The first help and kind of a name count, and the first of two series with the same labels; a name that the format does
// not have is left out, as one bad line would cost the whole page.
func (p *Page) add(name, help, kind string, names, values []string, samples []sample) {
	if !valid(name) {
		return
	}
	f := p.families[name]
	if f == nil {
		f = &family{help: help, kind: kind, series: map[string][]sample{}}
		p.families[name] = f
	}
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(names[a], names[b]) })
	var b strings.Builder
	for n, i := range order {
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(names[i] + `="` + labelText.Replace(strings.ToValidUTF8(values[i], "\uFFFD")) + `"`)
	}
	if _, twice := f.series[b.String()]; !twice {
		f.series[b.String()] = samples
	}
}

var (
	labelText = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	helpText  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

func valid(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_' || c == ':' || c|0x20-'a' < 26:
		case i > 0 && c-'0' < 10:
		default:
			return false
		}
	}
	return name != ""
}

// Text writes the page, in an order that stays.
func (p *Page) Text() []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(p.families)) {
		f := p.families[name]
		b = append(b, "# HELP "+name+" "+helpText.Replace(f.help)+"\n# TYPE "+name+" "+f.kind+"\n"...)
		for _, labels := range slices.Sorted(maps.Keys(f.series)) {
			for _, s := range f.series[labels] {
				b = s.text(append(b, name...), labels)
			}
		}
	}
	return b
}

func (s sample) text(b []byte, labels string) []byte {
	b = append(b, s.suffix...)
	if labels != "" || s.label != "" {
		b = append(append(b, '{'), labels...)
		if s.label != "" {
			if labels != "" {
				b = append(b, ',')
			}
			b = append(number(append(b, s.label+`="`...), s.bound), '"')
		}
		b = append(b, '}')
	}
	return append(number(append(b, ' '), s.value), '\n')
}

// number writes a float as the format has it.
func number(b []byte, n float64) []byte {
	if math.IsInf(n, 1) {
		return append(b, "+Inf"...)
	}
	return strconv.AppendFloat(b, n, 'g', -1, 64)
}

// Handler serves the page, compressed for those who take gzip.
func (r *Registry) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		h.Add("Vary", "Accept-Encoding")
		text := r.Page().Text()
		if !takesGzip(req.Header) {
			_, _ = w.Write(text) // to a scraper that has gone
			return
		}
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(text)
		_ = z.Close()
	})
}

// takesGzip reports whether the client names gzip and does not refuse it by q=0.
func takesGzip(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, weight, weighted := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, q, _ := strings.Cut(weight, "=")
		n, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		return !weighted || err == nil && n > 0
	}
	return false
}
