package account_test

import (
	"testing"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/handlers/handlertest"

	"example.com/bank/account"
)

func bank(t *testing.T) *handlertest.H {
	return handlertest.New(t, account.Open, account.Config{
		Streams:   handlers.Streams{Stream: config.Text{Source: "account/{{ data.account }}"}, State: "accounts", Version: 1},
		Overdraft: 100,
	})
}

func TestWithdraw(t *testing.T) {
	h := bank(t).Given("account/a",
		handlertest.Event("AccountOpened", `{"account":"a"}`),
		handlertest.Event("Deposited", `{"account":"a","amount":50}`))
	h.When(handlertest.Event("Withdraw", `{"account":"a","amount":150}`)).
		ThenTo("account/a").
		Then(handlertest.Event("Withdrawn", `{"account":"a","amount":150}`))
	h.When(handlertest.Event("Withdraw", `{"account":"a","amount":1}`)).
		Then(handlertest.Event("WithdrawalRefused", `{"account":"a","amount":1,"reason":"not enough money"}`))
}

func TestOpen(t *testing.T) {
	h := bank(t)
	h.When(handlertest.Event("Deposit", `{"account":"a","amount":1}`)).ThenPoison("not_open")
	h.When(handlertest.Event("OpenAccount", `{"account":"a"}`)).Then(handlertest.Event("AccountOpened", `{"account":"a"}`))
	h.When(handlertest.Event("OpenAccount", `{"account":"a"}`)).ThenNothing()
}

func TestMistakes(t *testing.T) {
	h := bank(t).Given("account/a", handlertest.Event("AccountOpened", `{}`))
	h.When(handlertest.Event("Deposit", `{"account":"a","amount":-5}`)).ThenPoison("amount")
	h.When(handlertest.Event("Deposit", `{"account":"a","amount":"much"}`)).ThenError("cannot unmarshal")
	h.When(handlertest.Event("Burn", `{"account":"a","amount":5}`)).ThenError(`"Burn" is no command`)
}
