package pipeline

import "slices"

// Duty is something of a pipeline that one replica alone does at a time, or a source that all of them read.
type Duty struct {
	Pipeline string `json:"pipeline"`
	// Source names the plugin where the duty is to read the source; Relay is the relay's name where it is to run that.
	Source string `json:"source,omitempty"`
	Relay  string `json:"relay,omitempty"`
	// Owner is who does it, as far as this replica knows; "" while nobody does. Standby: it is not this one.
	Owner   string `json:"owner,omitempty"`
	Standby bool   `json:"standby,omitempty"`
	// Shared: every replica reads the source, each event comes to one of them.
	Shared bool `json:"shared,omitempty"`
}

// Duties says who does what, the sources first, in the order of the files. It asks no store: it is what this replica
// saw when it last looked, about a second ago. A pipeline that is paused or not open yet has none.
func (d *Daemon) Duties() []Duty {
	d.mu.Lock()
	posts := slices.Clone(d.posts)
	pipes := make([]*pipe, len(posts))
	for i, x := range posts {
		pipes[i] = x.pipe
	}
	d.mu.Unlock()
	var sources, relays []Duty
	for _, p := range pipes {
		p.mu.Lock()
		state := p.state
		p.mu.Unlock()
		if state != "running" && state != "finishing" && state != "draining" {
			continue
		}
		if name := p.reading(); name != "" {
			s := Duty{Pipeline: p.cfg.Name, Source: name, Shared: p.intake == nil && p.seats.replicas != nil}
			if p.intake == nil {
				s.Owner = p.seats.me.Owner
			} else {
				s.Owner, s.Standby = p.seats.status(p.intake)
			}
			sources = append(sources, s)
		}
		for _, r := range p.relays {
			if r.seat == nil {
				continue
			}
			x := Duty{Pipeline: p.cfg.Name, Relay: r.plan.name}
			x.Owner, x.Standby = p.seats.status(r.seat)
			relays = append(relays, x)
		}
	}
	return append(sources, relays...)
}

// reading names the plugin of the source, "" where none is read: the intake is paused, or the relays read the log.
func (p *pipe) reading() string {
	if p.resting || p.plan.follows {
		return ""
	}
	return p.cfg.Source.Plugin.Name
}
