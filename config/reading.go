package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// maxReading is how much of a plugin's file counts for whether it has changed.
const maxReading = 4 << 20

// noteReading notes the files that the plugins of pipelines read, for who waits for changes. That one cannot be read is told
// of by the plugin.
func (l *loader) noteReading() {
	if l.opts.Seen == nil || l.opts.NoEnv {
		return
	}
	for _, p := range l.cfg.Pipelines {
		h := sha256.New()
		some := false
		for _, c := range p.plugins() {
			r, ok := c.Config.(Reading)
			if !ok {
				continue
			}
			for _, name := range r.Files() {
				b, err := l.contentOf(name)
				l.opts.Seen(name, b, err)
				fmt.Fprintf(h, "%q %t %d\n", name, err == nil, len(b))
				_, _ = h.Write(b)
				some = true
				if l.opts.CheckFiles {
					l.checkFile(c, name, b, err)
				}
			}
		}
		if some {
			p.FileSum = hex.EncodeToString(h.Sum(nil)[:8])
		}
	}
}

// checkFile asks the plugin whether it can use a file.
func (l *loader) checkFile(p *Plugin, name string, content []byte, err error) {
	why := ""
	if check, ok := p.Config.(CheckingFiles); err != nil {
		why = reason(err)
	} else if ok {
		if err := check.CheckFile(name, content); err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		l.add(Diagnostic{File: p.Pos.File, Line: p.Pos.Line, Col: p.Pos.Col, EndCol: p.Pos.Col + len(p.Name), Code: CodeFile, Severity: Error,
			Message: fmt.Sprintf("%s %s cannot use its file %s: %s", p.Kind, p.Name, name, why)})
	}
}

// contentOf reads the part of a file that counts.
func (l *loader) contentOf(name string) ([]byte, error) {
	if l.opts.ReadFile != nil {
		b, err := l.opts.ReadFile(name)
		return b[:min(len(b), maxReading)], err
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name) // a pipe would be read empty
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxReading))
}

// plugins gives the plugins of a pipeline, in the order of the file.
func (p *Pipeline) plugins() []*Plugin {
	out := []*Plugin{&p.Source.Plugin}
	for _, s := range AllSteps(p.Steps) {
		if s.Handle != nil {
			out = append(out, s.Handle)
		}
		if s.Forward != nil {
			out = append(out, &s.Forward.Sink)
		}
	}
	if p.Poison.Copy != nil {
		out = append(out, p.Poison.Copy)
	}
	return out
}
