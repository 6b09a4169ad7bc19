package event

// Outcome is what became of one source event.
type Outcome uint8

// The outcomes. Pending is none yet; Released is none either: the event goes back to its source.
const (
	Pending Outcome = iota
	Committed
	Delivered // pipelines without a log: every sink has it
	Filtered
	Duplicate
	Dropped // by a step or on_conflict that says so
	Poisoned
	Released
)

var outcomeNames = [...]string{"pending", "committed", "delivered", "filtered", "duplicate", "dropped", "poisoned", "released"}

// String gives the name used in metrics and logs.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists the final ones, in the order of the constants.
func Outcomes() []Outcome {
	return []Outcome{Committed, Delivered, Filtered, Duplicate, Dropped, Poisoned}
}
