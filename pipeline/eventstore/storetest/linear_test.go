package storetest

import (
	"math"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// TestStoreModel holds that the model of Linearizable takes what a store may answer, and nothing else.
func TestStoreModel(t *testing.T) {
	add := func(id string, e eventstore.Expect) call {
		return call{streams: []string{"a"}, expect: []eventstore.Expect{e}, ids: []string{id}}
	}
	both := call{streams: []string{"a", "b"}, expect: []eventstore.Expect{eventstore.Any, eventstore.NoStream}, ids: []string{"x", "y"}}
	read := call{read: true, streams: []string{"a"}}
	wrote := func(revisions ...int64) answer { return answer{revisions: revisions} }
	seen := func(ids string) answer { return answer{seen: ids} }
	op := func(from, to int64, in call, out answer) porcupine.Operation {
		return porcupine.Operation{Call: from, Return: to, Input: in, Output: out}
	}
	for _, tt := range []struct {
		name    string
		history []porcupine.Operation
		want    bool
	}{
		{"one after another", []porcupine.Operation{op(1, 2, add("1", eventstore.NoStream), wrote(1)), op(3, 4, read, seen("1"))}, true},
		{"a read that misses what was answered", []porcupine.Operation{op(1, 2, add("1", eventstore.Any), wrote(1)), op(3, 4, read, seen(""))}, false},
		{"a read at the same time", []porcupine.Operation{op(1, 5, add("1", eventstore.Any), wrote(1)), op(3, 4, read, seen(""))}, true},
		{"two winners of one revision", []porcupine.Operation{op(1, 5, add("1", eventstore.NoStream), wrote(1)), op(1, 5, add("2", eventstore.NoStream), wrote(1))}, false},
		{"a winner and a loser", []porcupine.Operation{op(1, 5, add("1", eventstore.NoStream), wrote(1)), op(1, 5, add("2", eventstore.NoStream), answer{conflict: true, actual: 1})}, true},
		{"a loser without a winner", []porcupine.Operation{op(1, 5, add("2", eventstore.NoStream), answer{conflict: true, actual: 1})}, false},
		{"a repeat", []porcupine.Operation{op(1, 2, add("1", eventstore.NoStream), wrote(1)), op(3, 4, add("1", eventstore.NoStream), answer{repeated: true, revisions: []int64{1}})}, true},
		{"a repeat that is written again", []porcupine.Operation{op(1, 2, add("1", eventstore.Any), wrote(1)), op(3, 4, add("1", eventstore.Any), wrote(2))}, false},
		{"unknown, and there", []porcupine.Operation{op(1, math.MaxInt64, add("1", eventstore.Any), answer{unknown: true}), op(3, 4, read, seen("1"))}, true},
		{"unknown, and not there", []porcupine.Operation{op(1, math.MaxInt64, add("1", eventstore.Any), answer{unknown: true}), op(3, 4, read, seen(""))}, true},
		{"unknown, seen and gone", []porcupine.Operation{op(1, math.MaxInt64, add("1", eventstore.Any), answer{unknown: true}), op(3, 4, read, seen("1")), op(5, 6, read, seen(""))}, false},
		{"not written, and there", []porcupine.Operation{op(1, 2, add("1", eventstore.Any), answer{unwritten: true}), op(3, 4, read, seen("1"))}, false},
		{"half a unit", []porcupine.Operation{
			op(1, 2, call{streams: []string{"b"}, expect: []eventstore.Expect{eventstore.Any}, ids: []string{"0"}}, wrote(1)),
			op(3, 4, both, answer{conflict: true, actual: 1}), op(5, 6, read, seen("x")),
		}, false},
	} {
		if got := porcupine.CheckOperations(storeModel, tt.history); got != tt.want {
			t.Errorf("%s: linearizable %t", tt.name, got)
		}
	}
}
