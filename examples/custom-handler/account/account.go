// Package account is a handler of leat: an aggregate that decides on commands to bank accounts. An account never goes below
// its limit, however many clients write at once.
package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
)

func init() { handlers.Register("account", Open) }

// Config is the handler's YAML: where the accounts are, and what is the bank's.
type Config struct {
	_                struct{} `doc:"decides on commands to bank accounts"`
	handlers.Streams `yaml:",inline"`
	Overdraft        int64 `yaml:"overdraft,omitempty" doc:"how far below zero an account may go, in cents"`
}

// State is what an account's events add up to.
type State struct {
	Open    bool  `json:"open"`
	Balance int64 `json:"balance"`
}

// Command is the payload of what comes in, and of the events that follow.
type Command struct {
	Account string `json:"account"`
	Amount  int64  `json:"amount,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Account implements handlers.Aggregate.
type Account struct{ overdraft int64 }

var _ handlers.Aggregate[State] = Account{}

// Open makes the handler.
func Open(_ context.Context, c Config, env handlers.Env) (handlers.Handler, error) {
	return handlers.NewAggregate(Account{overdraft: c.Overdraft}, c.Streams, env)
}

// Evolve gives the state after one of the account's events.
func (a Account) Evolve(s State, e event.Recorded) State {
	var c Command
	_ = json.Unmarshal(e.Data, &c) // Decide has written it
	switch e.Type {
	case "AccountOpened":
		s.Open = true
	case "Deposited":
		s.Balance += c.Amount
	case "Withdrawn":
		s.Balance -= c.Amount
	}
	return s
}

var errNotOpen = errors.New("the account is not open")

// Decide gives the events that follow from a command. What is refused by the bank's rules is an event too; what is no
// command that it knows is parked.
func (a Account) Decide(_ context.Context, s State, e event.Recorded) ([]event.Event, error) {
	var c Command
	if err := json.Unmarshal(e.Data, &c); err != nil {
		return nil, event.Poison(fmt.Errorf("account: %w", err))
	}
	switch {
	case e.Type == "OpenAccount" && s.Open:
		return nil, nil // once is enough
	case e.Type == "OpenAccount":
		return follow("AccountOpened", c)
	case !s.Open:
		return nil, event.PoisonAs("not_open", fmt.Errorf("account %s: %w", c.Account, errNotOpen))
	case c.Amount <= 0:
		return nil, event.PoisonAs("amount", fmt.Errorf("account: %d is no amount", c.Amount))
	case e.Type == "Deposit":
		return follow("Deposited", c)
	case e.Type == "Withdraw" && s.Balance-c.Amount < -a.overdraft:
		c.Reason = "not enough money"
		return follow("WithdrawalRefused", c)
	case e.Type == "Withdraw":
		return follow("Withdrawn", c)
	}
	return nil, event.Poison(fmt.Errorf("account: %q is no command", e.Type))
}

func follow(typ string, c Command) ([]event.Event, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	return []event.Event{{Type: typ, Source: "bank", Data: data}}, nil
}
