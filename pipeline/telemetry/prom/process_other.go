//go:build !linux

package prom

import "time"

var started = time.Now()

// process shows what the program knows of itself.
func process(p *Page) {
	p.Gauge(startName, startHelp, float64(started.UnixMilli())/1000)
}
