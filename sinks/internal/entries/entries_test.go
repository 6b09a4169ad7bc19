package entries

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks/sinktest"
)

// sized makes entries of the given sizes; a negative one cannot be made.
func sized(sizes ...int) *Batch[int] {
	i := -1
	return Make("svc", sinktest.Events(0, len(sizes)), func(*event.Recorded) (Entry[int], error) {
		i++
		if sizes[i] < 0 {
			return Entry[int]{}, event.Poison(errors.New("cannot be made"))
		}
		return Entry[int]{Send: i, Size: sizes[i]}, nil
	})
}

// grouped makes entries of one byte in the given groups.
func grouped(groups string) *Batch[int] {
	i := -1
	return Make("svc", sinktest.Events(0, len(groups)), func(*event.Recorded) (Entry[int], error) {
		i++
		return Entry[int]{Send: i, Size: 1, Group: groups[i : i+1]}, nil
	})
}

// service takes entries as it is told and keeps the calls, by the numbers of their events.
type service struct {
	mu    sync.Mutex
	calls [][]int
	whole func(call []int) error // of a call as a whole
	code  func(event int) string // "": taken
	mute  int                    // an event that no answer names, plus one
}

func (s *service) call(now []Entry[int]) (answer Answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var call []int
	for _, e := range now {
		call = append(call, e.Send)
	}
	s.calls = append(s.calls, call)
	if s.whole != nil {
		if err := s.whole(call); err != nil {
			return answer, err
		}
	}
	for i, e := range call {
		code := ""
		if s.code != nil {
			code = s.code(e)
		}
		switch {
		case e+1 == s.mute:
		case code == "":
			answer.Took(At(ID(i)))
		default:
			answer.Refused(i, &code, &code)
		}
	}
	return answer, nil
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		sizes []int
		want  [][]int
	}{
		{nil, nil},
		{[]int{1}, [][]int{{0}}},
		{[]int{1, 1, 1, 1}, [][]int{{0, 1, 2}, {3}}},
		{[]int{5, 5, 1}, [][]int{{0, 1}, {2}}},
		{[]int{20, 1, 1}, [][]int{{0}, {1, 2}}},
		{[]int{1, -1, 1, 1}, [][]int{{0, 2, 3}}},
	} {
		var s service
		_ = sized(tt.sizes...).SideBySide(Limits{Entries: 3, Bytes: 10}, s.call)
		slices.SortFunc(s.calls, slices.Compare[[]int])
		if diff := cmp.Diff(tt.want, s.calls); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.sizes, diff)
		}
	}
}

// Calls go side by side, and no more than Calls of them at once.
func TestSideBySide(t *testing.T) {
	var now, most atomic.Int32
	full := make(chan struct{})
	var once sync.Once
	err := sized(make([]int, 3*Calls)...).SideBySide(Limits{Entries: 1, Bytes: 1}, func([]Entry[int]) (answer Answer, _ error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == Calls {
			once.Do(func() { close(full) })
		}
		<-full
		answer.Took(0)
		return answer, nil
	})
	if err != nil || most.Load() != Calls {
		t.Errorf("%v; %d calls at once", err, most.Load())
	}
}

func TestOrder(t *testing.T) {
	for _, tt := range []struct {
		name, groups string
		code         func(event int) string
		calls        [][]int
		wait         []int // what is put off
	}{
		{name: "groups apart", groups: "abcd", calls: [][]int{{0, 1, 2}, {3}}},
		{name: "one group", groups: "aaa", calls: [][]int{{0}, {1}, {2}}},
		{name: "mixed", groups: "aabab", calls: [][]int{{0, 2}, {1, 4}, {3}}},
		{name: "full calls keep the order too", groups: "abcdda", calls: [][]int{{0, 1, 2}, {3, 5}, {4}}},
		{name: "what stands behind a failure waits", groups: "aabab", calls: [][]int{{0, 2}, {4}}, wait: []int{0, 1, 3},
			code: func(e int) string { return map[int]string{0: "InternalError"}[e] }},
		{name: "what stands behind poison does not", groups: "aab", calls: [][]int{{0, 2}, {1}},
			code: func(e int) string { return map[int]string{0: "InvalidArgument"}[e] }},
		{name: "all wait", groups: "aa", calls: [][]int{{0}}, wait: []int{0, 1}, code: func(int) string { return "Throttled" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := service{code: tt.code}
			outcomes := sinktest.Outcomes(grouped(tt.groups).InOrder(Limits{Entries: 3, Bytes: 10}, s.call), len(tt.groups))
			if diff := cmp.Diff(tt.calls, s.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			for i, err := range outcomes {
				if _, down := event.AsUnavailable(err); down != slices.Contains(tt.wait, i) {
					t.Errorf("#%d: %v", i, err)
				}
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	refused := fmt.Errorf("explained: %w", &smithy.GenericAPIError{Code: "ValidationException", Message: "no"})
	for _, tt := range []struct {
		name string
		s    *service
		want string // an outcome for each event: . delivered, ~ outage, ! poison
		text string // in some outcome
	}{
		{name: "taken", s: &service{}, want: "...."},
		{name: "in part", s: &service{code: func(e int) string { return []string{"", "Throttled", "InvalidArgument", ""}[e] }}, want: ".~!.", text: "svc: InvalidArgument"},
		{name: "not answered", s: &service{mute: 2}, want: ".~..", text: "svc: the answer does not say"},
		{name: "no answer", s: &service{whole: func([]int) error { return errors.New("EOF") }}, want: "~~~~", text: "svc: EOF"},
		{name: "one is to blame", want: "..!.", text: "svc: explained",
			s: &service{whole: func(call []int) error {
				if slices.Contains(call, 2) {
					return refused
				}
				return nil
			}}},
	} {
		for name, send := range map[string]func(*Batch[int]) error{
			"side by side": func(b *Batch[int]) error { return b.SideBySide(Limits{Entries: 10, Bytes: 10}, tt.s.call) },
			"in order":     func(b *Batch[int]) error { return b.InOrder(Limits{Entries: 10, Bytes: 10}, tt.s.call) },
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				err := send(grouped("abcd"))
				got, texts := "", ""
				for _, o := range sinktest.Outcomes(err, 4) {
					_, down := event.AsUnavailable(o)
					texts += fmt.Sprintln(o)
					switch {
					case o == nil:
						got += "."
					case down:
						got += "~"
					case event.IsPoison(o):
						got += "!"
					}
				}
				if got != tt.want || !strings.Contains(texts, tt.text) {
					t.Errorf("%s, want %s: %v", got, tt.want, err)
				}
			})
		}
	}
}

// What a batch met as a whole is one outage with the longest of its waits, so that a relay does not take it apart.
func TestOneOutage(t *testing.T) {
	down, poison := event.Unavailable(time.Second, errors.New("down")), event.Poison(errors.New("bad"))
	for _, tt := range []struct {
		failed map[int]error
		n      int // failures named by event
	}{
		{failed: nil},
		{failed: map[int]error{1: down}, n: 1},
		{failed: map[int]error{0: poison, 1: down}, n: 2},
		{failed: map[int]error{0: event.Unavailable(0, errors.New("down")), 1: down}},
	} {
		var o outcomes
		for i, err := range tt.failed {
			o.fail(i, err)
		}
		err := o.err(2)
		var partial *event.BatchError
		if errors.As(err, &partial); tt.n > 0 && (partial == nil || len(partial.Failed) != tt.n) || tt.n == 0 && partial != nil {
			t.Errorf("%v: %v", tt.failed, err)
		}
		if after, ok := event.AsUnavailable(err); tt.n == 0 && tt.failed != nil && (!ok || after != time.Second) {
			t.Errorf("%v: %v after %s", tt.failed, err, after)
		}
	}
}
