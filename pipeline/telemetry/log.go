package telemetry

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/trace"
)

// NewLogger makes the daemon's logger. Level is debug, info, warn or error; format is text (one line for people,
// coloured where color is set) or json; anything else counts as info and json. Each line goes through Redact as a
// whole, so that no attribute, group or error text gets round it.
func NewLogger(w io.Writer, level, format string, color bool) *slog.Logger {
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil {
		l = slog.LevelInfo
	}
	out := &redactor{w: w}
	var h slog.Handler
	if format == "text" {
		h = &textHandler{w: out, level: l, color: color}
	} else {
		h = slog.NewJSONHandler(out, &slog.HandlerOptions{Level: l})
	}
	return slog.New(&handler{Handler: h, limits: &limits{last: map[string]*limit{}}})
}

// redactor gets one line with each Write, as slog's handlers promise.
type redactor struct {
	mu sync.Mutex
	w  io.Writer
}

func (r *redactor) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := io.WriteString(r.w, Redact(string(p))); err != nil {
		return 0, fmt.Errorf("telemetry: log: %w", err)
	}
	return len(p), nil
}

// handler adds the limits that Limited uses to any handler.
type handler struct {
	slog.Handler
	limits *limits
	key    string
	every  time.Duration
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(a []slog.Attr) slog.Handler {
	c := *h
	c.Handler = h.Handler.WithAttrs(a)
	return &c
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	c.Handler = h.Handler.WithGroup(name)
	return &c
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if p, ok := trace.From(ctx); ok {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", hex.EncodeToString(p.TraceID[:])), slog.String("span_id", hex.EncodeToString(p.SpanID[:])))
	}
	if h.key != "" {
		ok, dropped := h.limits.take(h.key, r.Time, h.every)
		if !ok {
			return nil
		}
		if dropped > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int64("suppressed", dropped))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// Limited gives a logger that writes at most one record in each span of every, and with the next one how many it left
// out (suppressed=N). Loggers of one NewLogger share the count by key; of any other logger the caller must hold on to
// what it gets. Keys are few and fixed (a pipeline and a step): the count of a key is never forgotten.
func Limited(log *slog.Logger, key string, every time.Duration) *slog.Logger {
	h := &handler{limits: &limits{last: map[string]*limit{}}}
	if known, ok := log.Handler().(*handler); ok {
		*h = *known
	} else {
		h.Handler = log.Handler()
	}
	h.key, h.every = key, every
	return slog.New(h)
}

type limits struct {
	mu   sync.Mutex
	last map[string]*limit
}

type limit struct {
	at      time.Time
	dropped int64
}

func (l *limits) take(key string, now time.Time, every time.Duration) (ok bool, dropped int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.last[key]
	if k == nil {
		l.last[key] = &limit{at: now}
		return true, 0
	}
	// A clock that jumped back must not silence the key until it has caught up.
	if d := now.Sub(k.at); d >= 0 && d < every {
		k.dropped++
		return false, 0
	}
	dropped, k.dropped, k.at = k.dropped, 0, now
	return true, dropped
}

// textHandler writes lines for people: time, level, message, attributes.
type textHandler struct {
	w     io.Writer
	level slog.Level
	color bool
	attrs string // formatted
	group string // with its dot
}

// Enabled implements slog.Handler.
func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// WithAttrs implements slog.Handler.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var b strings.Builder
	for _, a := range attrs {
		c.attr(&b, h.group, a)
	}
	c.attrs += b.String()
	return &c
}

// WithGroup implements slog.Handler.
func (h *textHandler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.group += name + "."
	}
	return &c
}

const (
	reset = "\x1b[0m"
	faint = "\x1b[2m"
)

func paint(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "\x1b[31m"
	case l >= slog.LevelWarn:
		return "\x1b[33m"
	case l >= slog.LevelInfo:
		return "\x1b[32m"
	}
	return faint
}

// Handle implements slog.Handler.
func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	stamp := r.Time.Format("15:04:05.000")
	level := fmt.Sprintf("%-5s", r.Level)
	if h.color {
		stamp, level = faint+stamp+reset, paint(r.Level)+level+reset
	}
	b.WriteString(stamp + " " + level + " " + printable(r.Message) + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.attr(&b, h.group, a)
		return true
	})
	b.WriteByte('\n')
	_, err := io.WriteString(h.w, b.String())
	return err
}

func (h *textHandler) attr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, m := range v.Group() {
			h.attr(b, group, m)
		}
		return
	}
	text := v.String()
	if v.Kind() == slog.KindTime {
		text = v.Time().Format(time.RFC3339Nano)
	}
	if text == "" || strings.ContainsAny(text, " =\"\\") || printable(text) != text {
		text = strconv.Quote(text)
	}
	key := group + a.Key
	if h.color {
		b.WriteString(" " + faint + key + "=" + reset + text)
		return
	}
	b.WriteString(" " + key + "=" + text)
}

// printable keeps text from others (an event's type, an error) from breaking the line or steering the terminal.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			q := strconv.Quote(s)
			return q[1 : len(q)-1]
		}
	}
	return s
}
