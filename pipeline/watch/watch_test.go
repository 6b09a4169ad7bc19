package watch

import (
	"errors"
	"testing"
)

type nowhere struct{ Cloud }

func TestRegister(t *testing.T) {
	if _, err := Registered(); !errors.Is(err, ErrNone) {
		t.Errorf("without a cloud: %v", err)
	}
	Register(nowhere{})
	defer func() { cloud = nil }()
	if c, err := Registered(); err != nil || c != (nowhere{}) {
		t.Errorf("got %v, %v", c, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a second cloud is taken")
		}
	}()
	Register(nowhere{})
}
