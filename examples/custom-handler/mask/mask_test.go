package mask_test

import (
	"testing"

	"github.com/leatdev/leat/handlers/handlertest"

	"example.com/bank/mask"
)

func TestMask(t *testing.T) {
	h := handlertest.New(t, mask.Open, mask.Config{Fields: []string{"iban", "owner.phone"}, Keep: 4})
	for in, want := range map[string]string{
		`{"iban":"DE02120300000000202051"}`:         `{"iban":"******************2051"}`,
		`{"iban":"äöüß"}`:                           `{"iban":"äöüß"}`,
		`{"owner":{"phone":"030 123456","n":1.50}}`: `{"owner":{"phone":"******3456","n":1.50}}`,
		`{"iban":7}`: `{"iban":7}`,
		`{}`:         `{}`,
	} {
		h.When(handlertest.Event("OpenAccount", in)).Then(handlertest.Event("OpenAccount", want))
	}
}
