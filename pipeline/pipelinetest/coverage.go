package pipelinetest

import (
	"github.com/leatdev/leat/config"
)

// Coverage is which steps the tests reached: events came to them and their `when` let these in.
type Coverage map[string]*Covered

// Covered is the coverage of one pipeline.
type Covered struct {
	Pipeline string
	Steps    []CoveredStep
}

// CoveredStep is one step of a pipeline.
type CoveredStep struct {
	Name string
	Pos  config.Pos
	// Reached counts the events that came to it, in all tests.
	Reached int
}

func newCoverage(cfg *config.Config) Coverage {
	c := Coverage{}
	for _, p := range cfg.Pipelines {
		of := &Covered{Pipeline: p.Name}
		names := config.StepNames(p)
		for i, s := range config.AllSteps(p.Steps) {
			of.Steps = append(of.Steps, CoveredStep{Name: names[i], Pos: s.Pos})
		}
		c[p.Name] = of
	}
	return c
}

func (c Coverage) add(reached map[place]int) {
	for at, n := range reached {
		of := c[at.pipeline]
		if of == nil {
			continue
		}
		for i := range of.Steps {
			if of.Steps[i].Name == at.step {
				of.Steps[i].Reached += n
			}
		}
	}
}

// Count gives the number of steps that were reached, and of all.
func (c Coverage) Count() (reached, all int) {
	for _, of := range c {
		for i := range of.Steps {
			all++
			if of.Steps[i].Reached > 0 {
				reached++
			}
		}
	}
	return reached, all
}
