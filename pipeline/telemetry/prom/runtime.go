package prom

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// runtimeNumbers are sums of the runtime's own metrics, under the names by which Prometheus' client for Go made them known, so that
// dashboards for Go programs show leat as well.
var runtimeNumbers = []struct {
	name, help string
	counter    bool
	sum        []string
}{
	{"go_gc_gogc_percent", "Heap growth at which a collection starts, in percent (GOGC).", false, []string{"/gc/gogc:percent"}},
	{"go_gc_gomemlimit_bytes", "Memory limit of the runtime (GOMEMLIMIT); the largest integer where there is none.", false, []string{"/gc/gomemlimit:bytes"}},
	{"go_goroutines", "Goroutines that exist.", false, []string{"/sched/goroutines:goroutines"}},
	{"go_memstats_alloc_bytes", "Bytes of objects on the heap.", false, []string{"/memory/classes/heap/objects:bytes"}},
	{"go_memstats_alloc_bytes_total", "Bytes allocated on the heap so far, freed ones too.", true, []string{"/gc/heap/allocs:bytes"}},
	{"go_memstats_buck_hash_sys_bytes", "Bytes of the profiler's tables.", false, []string{"/memory/classes/profiling/buckets:bytes"}},
	{"go_memstats_frees_total", "Objects freed so far.", true, []string{"/gc/heap/frees:objects", "/gc/heap/tiny/allocs:objects"}},
	{"go_memstats_gc_sys_bytes", "Bytes of the collector's own data.", false, []string{"/memory/classes/metadata/other:bytes"}},
	{"go_memstats_heap_alloc_bytes", "Bytes of objects on the heap, as go_memstats_alloc_bytes.", false, []string{"/memory/classes/heap/objects:bytes"}},
	{"go_memstats_heap_idle_bytes", "Bytes of the heap that wait for use.", false, []string{"/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes"}},
	{"go_memstats_heap_inuse_bytes", "Bytes of the heap in use.", false, []string{"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes"}},
	{"go_memstats_heap_objects", "Objects on the heap.", false, []string{"/gc/heap/objects:objects"}},
	{"go_memstats_heap_released_bytes", "Bytes of the heap given back to the system.", false, []string{"/memory/classes/heap/released:bytes"}},
	{"go_memstats_heap_sys_bytes", "Bytes of the heap obtained from the system.", false, []string{"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes"}},
	{"go_memstats_mallocs_total", "Objects allocated so far, freed ones too.", true, []string{"/gc/heap/allocs:objects", "/gc/heap/tiny/allocs:objects"}},
	{"go_memstats_mcache_inuse_bytes", "Bytes of mcache structures in use.", false, []string{"/memory/classes/metadata/mcache/inuse:bytes"}},
	{"go_memstats_mcache_sys_bytes", "Bytes of mcache structures.", false, []string{"/memory/classes/metadata/mcache/inuse:bytes", "/memory/classes/metadata/mcache/free:bytes"}},
	{"go_memstats_mspan_inuse_bytes", "Bytes of mspan structures in use.", false, []string{"/memory/classes/metadata/mspan/inuse:bytes"}},
	{"go_memstats_mspan_sys_bytes", "Bytes of mspan structures.", false, []string{"/memory/classes/metadata/mspan/inuse:bytes", "/memory/classes/metadata/mspan/free:bytes"}},
	{"go_memstats_next_gc_bytes", "Heap size at which the next collection is to end.", false, []string{"/gc/heap/goal:bytes"}},
	{"go_memstats_other_sys_bytes", "Bytes of other data of the runtime.", false, []string{"/memory/classes/other:bytes"}},
	{"go_memstats_stack_inuse_bytes", "Bytes of stacks of goroutines.", false, []string{"/memory/classes/heap/stacks:bytes"}},
	{"go_memstats_stack_sys_bytes", "Bytes of stacks, of threads too.", false, []string{"/memory/classes/heap/stacks:bytes", "/memory/classes/os-stacks:bytes"}},
	{"go_memstats_sys_bytes", "Bytes obtained from the system.", false, []string{"/memory/classes/total:bytes"}},
	{"go_sched_gomaxprocs_threads", "Threads that may run Go code at the same time (GOMAXPROCS).", false, []string{"/sched/gomaxprocs:threads"}},
	{"go_threads", "Threads of the system that the process has.", false, []string{"/sched/threads/total:threads"}},
}

// Runtime shows the numbers of the Go runtime. Reading them stops nothing.
func (r *Registry) Runtime() {
	var samples []metrics.Sample
	at := map[string]int{}
	for _, n := range runtimeNumbers {
		for _, name := range n.sum {
			if _, ok := at[name]; !ok {
				at[name] = len(samples)
				samples = append(samples, metrics.Sample{Name: name})
			}
		}
	}
	r.Collect(func(p *Page) {
		now := make([]metrics.Sample, len(samples)) // scrapes may overlap
		copy(now, samples)
		metrics.Read(now)
		for _, n := range runtimeNumbers {
			sum, known := 0.0, true
			for _, name := range n.sum {
				v := now[at[name]].Value
				if known = known && v.Kind() == metrics.KindUint64; known {
					sum += float64(v.Uint64())
				}
			}
			switch {
			case !known: // by a later runtime
			case n.counter:
				p.Counter(n.name, n.help, sum)
			default:
				p.Gauge(n.name, n.help, sum)
			}
		}
		p.Gauge("go_info", "1; the label says by which Go the program was built.", 1, "version", runtime.Version())
		collections(p)
	})
}

// collections shows the pauses of the garbage collector.
func collections(p *Page) {
	stats := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&stats)
	var s []sample
	for i, q := range stats.PauseQuantiles {
		s = append(s, sample{label: "quantile", bound: float64(i) / 4, value: q.Seconds()})
	}
	s = append(s, sample{suffix: "_sum", value: stats.PauseTotal.Seconds()}, sample{suffix: "_count", value: float64(stats.NumGC)})
	p.add("go_gc_duration_seconds", "Pauses of the garbage collector.", "summary", nil, nil, s)
	last := 0.0
	if !stats.LastGC.IsZero() {
		last = float64(stats.LastGC.UnixNano()) / 1e9
	}
	p.Gauge("go_memstats_last_gc_time_seconds", "When the last collection ended, in seconds since 1970.", last)
}
