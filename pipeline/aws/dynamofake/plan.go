package dynamofake

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Plan is what goes wrong, by a seed. Each number is a chance in 1. A nil plan is a service that always answers.
type Plan struct {
	Seed uint64
	// Throttle refuses a call before it has an effect; Fail answers 500 before it has one.
	Throttle, Fail float64
	// Lose cuts the connection behind a call that has had its effect, Break answers it with 500: their outcome is unknown.
	Lose, Break float64
	// Conflict cancels a transaction for one of its items that another transaction holds.
	Conflict float64
	// Part lets a transaction that is committed become visible item by item: for up to two milliseconds, before it is
	// answered, readers find some of its items as they are and others as they were. Writers of the latter meet a conflict.
	Part float64
	// Skip leaves an item of a batch unprocessed.
	Skip float64
	// Units are the write units that transactions may take at once, and in each time Per anew; 0: as many as they like.
	Units float64
	Per   time.Duration

	left   float64
	filled time.Time
	mu     sync.Mutex
	random *rand.Rand
	off    bool
}

type after int

const (
	fine after = iota
	cut
	broken
)

// Stop ends the faults: from now on everything works.
func (p *Plan) Stop() { p.Pause(true) }

// Pause holds the faults back, or lets them go on.
func (p *Plan) Pause(off bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = off
}

func (p *Plan) chance(of float64) bool {
	if p == nil || of <= 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.random == nil {
		p.random = rand.New(rand.NewPCG(p.Seed, 1))
	}
	return !p.off && p.random.Float64() < of
}

// decide says what happens to a call before and after it has had its effect. Tables are made in peace.
func (p *Plan) decide(op string) (then after, before error) {
	if p == nil || op == "CreateTable" || op == "DescribeTable" {
		return fine, nil
	}
	switch {
	case p.chance(p.Throttle):
		return fine, &fault{status: 400, code: "ProvisionedThroughputExceededException", message: "The level of configured provisioned throughput for the table was exceeded"}
	case p.chance(p.Fail):
		return fine, &fault{status: 500, code: "InternalServerError", message: "Internal server error"}
	case p.chance(p.Lose):
		return cut, nil
	case p.chance(p.Break):
		return broken, nil
	}
	return fine, nil
}

func (p *Plan) conflicts() bool { return p != nil && p.chance(p.Conflict) }

// parts says which of so many items of a transaction come late, and by how much; none: they come all at once.
func (p *Plan) parts(items int) (late map[int]bool, by time.Duration) {
	if p == nil || items < 2 || !p.chance(p.Part) {
		return nil, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	late = map[int]bool{}
	for _, n := range p.random.Perm(items)[:1+p.random.IntN(items-1)] {
		late[n] = true
	}
	return late, time.Duration(p.random.IntN(int(2 * time.Millisecond)))
}

func (p *Plan) skips() bool { return p != nil && p.chance(p.Skip) }

// affords takes write units of what is provisioned, if there are so many.
func (p *Plan) affords(units float64) bool {
	if p == nil || p.Units <= 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.filled.IsZero() {
		p.left = p.Units
	} else {
		p.left = min(p.Units, p.left+p.Units*float64(now.Sub(p.filled))/float64(p.Per))
	}
	p.filled = now
	if p.off || units <= p.left {
		p.left -= units
		return true
	}
	return false
}
