package prom

// Process shows the numbers of the process that the system tells; which these are is the system's affair.
func (r *Registry) Process() { r.Collect(process) }

const (
	startName = "process_start_time_seconds"
	startHelp = "When the process started, in seconds since 1970."
)
