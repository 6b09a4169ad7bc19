// Package graph draws what pipeline files come to: sources, steps, streams, relays, tables, and the buses and queues that
// lead from one pipeline to the next. A picture is made from the config alone; nothing is opened.
//
// Build makes a Graph; Mermaid, DOT, SVG and Text write it. All four show the same nodes and edges, in the order of the
// files, so that the same files give the same bytes. Names are data: whatever stands in them, quotes, angle brackets or
// line breaks, they neither break a picture's syntax nor put anything into it.
package graph

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/sinks"
)

// Kind is what a node stands for.
type Kind string

// The kinds of nodes.
const (
	Outside Kind = "outside" // a file, queue, bus, endpoint: what sources read and sinks write
	Step    Kind = "step"
	Branch  Kind = "branch"
	Append  Kind = "append" // the commit point: streams of the log
	Relay   Kind = "relay"
	Table   Kind = "table"
	Log     Kind = "log" // a store's log, where a pipeline reads it
)

// Link is what an edge stands for.
type Link string

// The kinds of edges.
const (
	Flow   Link = "flow"
	Read   Link = "read"   // the log is read, with a checkpoint
	Look   Link = "look"   // a row is looked up
	Poison Link = "poison" // where copies of poisoned events go
	Loop   Link = "loop"   // on a way that leads back to where it started
)

// Node is a box of the picture.
type Node struct {
	Kind Kind
	// Title is the first line, Text says what it does, When for which events; all are as they stand in the file, cut to a
	// length.
	Title, Text, When string
	// Pipeline is the one that it belongs to, "" for what several may share.
	Pipeline string

	band, row int // where a layout has it: the pipeline's number, and the row within it
}

// lines are what stands in a node's box.
func (n *Node) lines() []string {
	out := []string{n.Title}
	if n.Text != "" {
		out = append(out, n.Text)
	}
	if n.When != "" {
		out = append(out, "when "+n.When)
	}
	return out
}

// Edge leads from one node to another, by their indexes.
type Edge struct {
	From, To int
	Label    string
	Link     Link
}

// Graph is the picture's content.
type Graph struct {
	Pipelines []string
	Nodes     []Node
	Edges     []Edge
}

// maxText is where texts of nodes are cut, in characters.
const maxText = 38

// Build makes the graph of a config. Redact is asked for every text before it is cut: it masks secrets.
func Build(cfg *config.Config, redact func(string) string) *Graph {
	b := builder{g: &Graph{}, redact: redact, places: map[string]int{}, tables: map[string]int{}}
	for _, p := range cfg.Pipelines {
		if l, ok := p.LogSelection(); ok {
			b.logRead = append(b.logRead, l.Store)
		}
	}
	for i, p := range cfg.Pipelines {
		b.g.Pipelines = append(b.g.Pipelines, b.text(p.Name))
		b.pipeline(i, p)
	}
	b.lookups()
	b.loops(cfg)
	return b.g
}

type builder struct {
	g      *Graph
	redact func(string) string
	p      *config.Pipeline
	band   int
	row    int // the last row of the band that is taken

	places  map[string]int // outside nodes, by what they are
	tables  map[string]int
	logRead []string // stores whose log some pipeline reads
	// relays are those of the pipeline in hand, by identity.
	relays map[string]int
	// forwards are the edges by which forwards leave, with their step.
	forwards []leaving
	looks    []look
}

// look is a lookup: its node, and the table that it reads.
type look struct {
	node  int
	table string
}

type leaving struct {
	edge int
	from int // the pipeline's index
	step *config.Step
}

// text makes a text fit for a node: one line, without secrets, not longer than maxText.
func (b *builder) text(s string) string {
	s = strings.Join(strings.Fields(b.redact(s)), " ")
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText-1]) + "…"
	}
	return s
}

func (b *builder) node(kind Kind, title, text string, row int) int {
	n := Node{Kind: kind, Title: b.text(title), Text: b.text(text), band: b.band, row: row}
	switch kind {
	case Step, Branch, Append, Relay:
		n.Pipeline = b.g.Pipelines[b.band]
	}
	b.g.Nodes = append(b.g.Nodes, n)
	return len(b.g.Nodes) - 1
}

func (b *builder) edge(from, to int, label string, link Link) int {
	b.g.Edges = append(b.g.Edges, Edge{From: from, To: to, Label: b.text(label), Link: link})
	return len(b.g.Edges) - 1
}

// tail is where a chain of steps goes on: a node, and what the edge from it says.
type tail struct {
	node  int
	label string
	link  Link
}

func (b *builder) pipeline(i int, p *config.Pipeline) {
	b.band, b.row, b.p, b.relays = i, 0, p, map[string]int{}
	from := tail{node: b.source(p), link: Flow}
	if l, ok := p.LogSelection(); ok {
		from.label = strings.Join(slices.Concat(l.Origins, l.StreamTypes, l.Types), ", ")
		if appends(p.Steps) == 0 {
			from.link = Read
		}
	}
	if !p.Source.OrderBy.IsZero() {
		from.label = strings.TrimSpace(from.label + " by " + p.Source.OrderBy.Source)
	}
	steps := p.Steps
	if p.Outbox {
		steps = withOutbox(p)
	}
	first := len(b.g.Nodes)
	b.chain(steps, []tail{from}, 0, 0)
	if p.Poison.Copy != nil {
		last := first
		for n := first; n < len(b.g.Nodes); n++ {
			if b.g.Nodes[n].Kind == Append {
				last = n
			}
		}
		b.row++
		to := b.outside(p.Poison.Copy.Name, sinks.TargetOf(*p.Poison.Copy), config.Summary(*p.Poison.Copy), b.row)
		b.edge(min(last, len(b.g.Nodes)-1), to, "poisoned", Poison)
	}
}

// withOutbox puts in the append that `outbox: true` stands for, before the first step that reads the log.
func withOutbox(p *config.Pipeline) []config.Step {
	at := len(p.Steps)
	for i := range p.Steps {
		if targets(p.Steps[i : i+1]) {
			at = i
			break
		}
	}
	out := append([]config.Step{}, p.Steps[:at]...)
	out = append(out, config.Step{Append: &config.Append{Stream: config.Text{Source: "$outbox." + p.Name}}})
	return append(out, p.Steps[at:]...)
}

// targets reports whether steps have a project or forward among them.
func targets(steps []config.Step) bool {
	for i := range steps {
		if steps[i].Project != nil || steps[i].Forward != nil {
			return true
		}
		for _, w := range ways(&steps[i]) {
			if targets(w.steps) {
				return true
			}
		}
	}
	return false
}

// appends counts the appends among steps.
func appends(steps []config.Step) (n int) {
	for i := range steps {
		if steps[i].Append != nil {
			n++
		}
		for _, w := range ways(&steps[i]) {
			n += appends(w.steps)
		}
	}
	return n
}

func (b *builder) source(p *config.Pipeline) int {
	if l, ok := p.LogSelection(); ok {
		return b.log(l.Store, 0)
	}
	s := p.Source.Plugin
	key := s.Name + " " + config.Summary(s)
	if s.Name == "file" {
		key = "file " + filepath.Clean(config.Summary(s))
	}
	if place, ok := s.Config.(config.Place); ok {
		key = place.Place()
	}
	return b.outside(s.Name, key, config.Summary(s), 0)
}

// outside gives the node of a place; those of one key are one.
func (b *builder) outside(plugin, key, text string, row int) int {
	if n, ok := b.places[key]; ok {
		return n
	}
	n := b.node(Outside, plugin, text, row)
	b.places[key] = n
	return n
}

// log gives the node of a store's log.
func (b *builder) log(store string, row int) int {
	key := "log of " + store
	if n, ok := b.places[key]; ok {
		return n
	}
	n := b.node(Log, "log", "store "+store, row)
	b.places[key] = n
	return n
}

// chain adds steps one behind the other and gives where they end. Row is that of the chain; after is how many appends
// come behind it.
func (b *builder) chain(steps []config.Step, from []tail, row, after int) []tail {
	for i := range steps {
		s := &steps[i]
		behind := appends(steps[i+1:]) + after
		switch {
		case s.Project != nil || s.Forward != nil:
			at := row
			if i+1 < len(steps) || b.taken(row) {
				b.row++
				at = b.row
			}
			b.target(s, from, at)
		case ways(s) != nil:
			from = b.branch(s, from, row, behind)
		default:
			from = []tail{b.step(s, from, row, behind)}
		}
	}
	return from
}

// taken reports whether the chain of a row has ended in a target already.
func (b *builder) taken(row int) bool {
	for i := range b.g.Nodes {
		if n := &b.g.Nodes[i]; n.band == b.band && n.row == row && n.Kind == Relay {
			return true
		}
	}
	return false
}

// step adds one step.
func (b *builder) step(s *config.Step, from []tail, row, behind int) tail {
	kind, title, text := show(s)
	if s.Append != nil && b.p.Store != "main" {
		title += " to " + b.p.Store
	}
	n := b.node(kind, title, text, row)
	b.g.Nodes[n].When = b.text(s.When.Source)
	b.enter(from, n)
	if s.Append == nil {
		if s.Lookup != nil {
			b.looks = append(b.looks, look{n, s.Lookup.Table})
		}
		return tail{node: n, link: Flow}
	}
	if slices.Contains(b.logRead, b.p.Store) {
		b.row++
		b.edge(n, b.log(b.p.Store, b.row), "", Flow)
	}
	if behind > 0 {
		return tail{node: n, link: Flow}
	}
	return tail{node: n, link: Read}
}

// enter leads the open ends of a chain to a node.
func (b *builder) enter(from []tail, n int) {
	for _, f := range from {
		if label := b.text(f.label); !b.linked(f.node, n, label) {
			b.edge(f.node, n, label, f.link)
		}
	}
}

// branch adds a branch with its cases, each on a row of its own, and gives where they end.
func (b *builder) branch(s *config.Step, from []tail, row, behind int) (ends []tail) {
	n := b.node(Branch, strings.TrimSpace("branch "+s.Name), "", row)
	b.g.Nodes[n].When = b.text(s.When.Source)
	b.enter(from, n)
	for i, c := range ways(s) {
		at := row
		if i > 0 {
			b.row++
			at = b.row
		}
		ends = append(ends, b.chain(c.steps, []tail{{node: n, label: c.label, link: Flow}}, at, behind)...)
	}
	return ends
}

// target adds the relay of a project or forward, once for each identity, and what it writes to.
func (b *builder) target(s *config.Step, from []tail, row int) {
	id := pipeline.RelayID(b.p.Name, s)
	n, known := b.relays[id]
	if !known {
		n = b.relay(s, row)
		b.relays[id] = n
	}
	b.enter(from, n)
}

func (b *builder) linked(from, to int, label string) bool {
	for _, e := range b.g.Edges {
		if e.From == from && e.To == to && e.Label == label {
			return true
		}
	}
	return false
}

func (b *builder) relay(s *config.Step, row int) int {
	if s.Project != nil {
		title, text := s.Name, "project"
		if title == "" {
			title, text = "project", ""
		}
		n := b.node(Relay, title, text, row)
		b.g.Nodes[n].When = b.text(s.When.Source)
		t, ok := b.tables[s.Project.Table]
		if !ok {
			t = b.node(Table, "table", s.Project.Table, row)
			b.tables[s.Project.Table] = t
		}
		b.edge(n, t, "", Flow)
		return n
	}
	title, text := s.Name, "forward"
	if title == "" {
		title, text = "forward", ""
	}
	n := b.node(Relay, title, text, row)
	b.g.Nodes[n].When = b.text(s.When.Source)
	sink := s.Forward.Sink
	key := sinks.TargetOf(sink)
	if place, ok := sink.Config.(config.Place); ok {
		key = place.Place()
	}
	to := b.outside(sink.Name, key, config.Summary(sink), row)
	b.forwards = append(b.forwards, leaving{edge: b.edge(n, to, "", Flow), from: b.band, step: s})
	return n
}

// loops marks the forwards on ways that lead back to the pipeline they come from.
func (b *builder) loops(cfg *config.Config) {
	feeds := make([][]bool, len(cfg.Pipelines))
	for i := range feeds {
		feeds[i] = make([]bool, len(cfg.Pipelines))
	}
	for _, f := range b.forwards {
		for to, p := range cfg.Pipelines {
			if config.Feeds(f.step, p) {
				feeds[f.from][to] = true
			}
		}
	}
	reach := closure(feeds)
	for _, f := range b.forwards {
		for to, p := range cfg.Pipelines {
			if config.Feeds(f.step, p) && reach[to][f.from] {
				e := &b.g.Edges[f.edge]
				e.Link, e.Label = Loop, "loop"
			}
		}
	}
}

// closure tells which pipeline's events may reach which, each reaching itself.
func closure(feeds [][]bool) [][]bool {
	reach := make([][]bool, len(feeds))
	for from := range feeds {
		reach[from] = make([]bool, len(feeds))
		todo := []int{from}
		for len(todo) > 0 {
			at := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if reach[from][at] {
				continue
			}
			reach[from][at] = true
			for next, ok := range feeds[at] {
				if ok {
					todo = append(todo, next)
				}
			}
		}
	}
	return reach
}

// Loops tells how many edges are on ways that lead back.
func (g *Graph) Loops() (n int) {
	for _, e := range g.Edges {
		if e.Link == Loop {
			n++
		}
	}
	return n
}

// id names a node in Mermaid and DOT.
func id(n int) string { return fmt.Sprintf("n%d", n) }
