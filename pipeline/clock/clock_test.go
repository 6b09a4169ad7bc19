package clock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatdev/leat/pipeline/clock"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestManualWakesInOrder(t *testing.T) {
	m := clock.NewManual(noon)
	late, early := m.NewTimer(2*time.Minute), m.NewTimer(time.Minute)
	if at, ok := m.Next(); !ok || !at.Equal(noon.Add(time.Minute)) {
		t.Fatalf("next is %v %v", at, ok)
	}
	m.Set(noon.Add(time.Minute))
	if at := <-early.C; !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("woken at %v", at)
	}
	select {
	case <-late.C:
		t.Error("woken too early")
	default:
	}
	if !late.Stop() || late.Stop() {
		t.Error("stop does not tell whether the time was still to come")
	}
	m.Set(noon.Add(time.Hour))
	select {
	case <-late.C:
		t.Error("woken though stopped")
	default:
	}
	if _, ok := m.Next(); ok {
		t.Error("something still waits")
	}
	if !m.Now().Equal(noon.Add(time.Hour)) {
		t.Errorf("it is %v", m.Now())
	}
}

func TestManualTimerOfNoTimeFiresAtOnce(t *testing.T) {
	m := clock.NewManual(noon)
	timer := m.NewTimer(0)
	<-timer.C
	timer.Reset(time.Second)
	m.Set(noon.Add(time.Second))
	if at := <-timer.C; !at.Equal(noon.Add(time.Second)) {
		t.Errorf("woken at %v", at)
	}
}

func TestResetForgetsWhatWasSent(t *testing.T) {
	m := clock.NewManual(noon)
	timer := m.NewTimer(time.Second)
	m.Set(noon.Add(time.Minute))
	if timer.Reset(time.Second) {
		t.Error("reset says it was still to come")
	}
	select {
	case at := <-timer.C:
		t.Errorf("the old time %v is received", at)
	default:
	}
}

func TestManualTickerLeavesOutWhatNobodyTakes(t *testing.T) {
	m := clock.NewManual(noon)
	tick := m.NewTicker(time.Minute)
	m.Set(noon.Add(10 * time.Minute))
	if at := <-tick.C; !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("first tick is %v", at)
	}
	select {
	case at := <-tick.C:
		t.Errorf("a second tick %v waited", at)
	default:
	}
	m.Set(noon.Add(11 * time.Minute))
	if at := <-tick.C; !at.Equal(noon.Add(11 * time.Minute)) {
		t.Errorf("next tick is %v", at)
	}
	tick.Stop()
	if _, ok := m.Next(); ok {
		t.Error("a stopped ticker still waits")
	}
}

func TestTimeouts(t *testing.T) {
	real := func(t *testing.T) (clock.Clock, func(d time.Duration)) {
		return clock.Real, func(d time.Duration) { time.Sleep(d); synctest.Wait() }
	}
	manual := func(t *testing.T) (clock.Clock, func(d time.Duration)) {
		m := clock.NewManual(time.Now())
		return m, func(d time.Duration) { m.Set(m.Now().Add(d)); synctest.Wait() }
	}
	for name, start := range map[string]func(*testing.T) (clock.Clock, func(time.Duration)){"real": real, "manual": manual} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, move := start(t)
				ctx, cancel := clock.WithTimeout(t.Context(), c, time.Second)
				defer cancel()
				inner, cancelInner := context.WithCancel(ctx)
				defer cancelInner()
				move(500 * time.Millisecond)
				if ctx.Err() != nil {
					t.Fatalf("ended early: %v", ctx.Err())
				}
				move(500 * time.Millisecond)
				if <-ctx.Done(); !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					t.Errorf("ended with %v", ctx.Err())
				}
				if <-inner.Done(); !errors.Is(context.Cause(inner), context.DeadlineExceeded) {
					t.Errorf("its child ended with %v", context.Cause(inner))
				}

				stopped, stop := clock.WithTimeout(t.Context(), c, time.Second)
				stop()
				move(2 * time.Second)
				if !errors.Is(stopped.Err(), context.Canceled) {
					t.Errorf("one that was cancelled ended with %v", stopped.Err())
				}
				called := make(chan time.Time, 1)
				c.AfterFunc(time.Minute, func() { called <- c.Now() })
				was := c.Now()
				move(time.Minute)
				if at := <-called; at.Sub(was) != time.Minute {
					t.Errorf("called after %v", at.Sub(was))
				}
			})
		})
	}
}
