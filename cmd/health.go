package cmd

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore/client"
)

// defaultListen is where a daemon listens that nobody told otherwise.
const defaultListen = "127.0.0.1:8087"

func (a *app) serverFlag(c *cobra.Command) *string {
	return c.Flags().String("server", "", "address of the daemon, host:port or https://host:port (default $LEAT_SERVER, else "+defaultListen+")")
}

// keyFlags gives each command that speaks to a daemon what that may ask for.
func (a *app) keyFlags(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.keyFlags(sub)
	}
	if c.Flags().Lookup("server") == nil {
		return
	}
	c.Flags().StringVar(&a.apiKey, "api-key", "", "key for --server; others on this machine see it here, so rather set $LEAT_API_KEY")
	c.Flags().StringVar(&a.ca, "ca", "", "file of the authority that signed the certificate of --server, PEM (default $LEAT_CA, else the system's)")
	_ = c.MarkFlagFilename("ca")
}

func (a *app) connect(server string) (*client.Client, error) {
	if server == "" {
		server, _ = a.env("LEAT_SERVER")
	}
	if server == "" {
		server = defaultListen
	}
	return a.connectTo(server, "main")
}

// connectTo makes a client for one store of a daemon, with the key and the authority that the flags or the environment
// name.
func (a *app) connectTo(server, store string) (*client.Client, error) {
	var options []client.Option
	key, ca := a.apiKey, a.ca
	if key == "" {
		key, _ = a.env("LEAT_API_KEY")
	}
	if ca == "" {
		ca, _ = a.env("LEAT_CA")
	}
	if key != "" {
		options = append(options, client.WithKey(key))
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, usagef("--ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usagef("--ca: there is no certificate in %s", ca)
		}
		options = append(options, client.WithTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	c, err := client.Connect(server, store, options...)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return c, nil
}

func (a *app) healthcheckCommand() *cobra.Command {
	var (
		ready   bool
		timeout time.Duration
	)
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running daemon whether it is well (for containers)",
		Long: `Ask /healthz, or with --ready /readyz. Exit code 0: well; 1: it says that it is not;
3: nobody answers.`,
		Args: usageArgs(cobra.NoArgs),
	}
	server := a.serverFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		client, err := a.connect(*server)
		if err != nil {
			return err
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(c.Context(), timeout)
		defer cancel()
		path := "/healthz"
		if ready {
			path = "/readyz"
		}
		accept := ""
		if a.json {
			accept = "application/json"
		}
		status, body, err := client.GetAs(ctx, path, accept)
		var timedOut net.Error
		if errors.As(err, &timedOut) && timedOut.Timeout() {
			return environment(fmt.Errorf("no answer within %s", timeout))
		}
		if err != nil {
			return environment(err)
		}
		words := strings.TrimSpace(string(body))
		if a.json {
			answer := map[string]any{}
			if json.Unmarshal(body, &answer) == nil { // else an older daemon's, which has words alone
				words, _ = answer["words"].(string)
			}
			answer["ok"], answer["status"], answer["words"] = status == 200, status, words
			if err := writeLine(a.out, answer); err != nil {
				return err
			}
		} else if status == 200 && !a.quiet {
			fmt.Fprintln(a.out, words)
		}
		if status != 200 {
			return &exitError{code: exitFailed, err: fmt.Errorf("%s answers %d: %s", path, status, words)}
		}
		return nil
	}
	c.Flags().BoolVar(&ready, "ready", false, "ask whether all pipelines run, not only whether the process lives")
	c.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long an answer may take")
	return c
}

// status is what the command shows of a daemon's status; the API's answer may hold more.
type status struct {
	Pipelines []struct {
		Name      string `json:"name"`
		State     string `json:"state"`
		Paused    string `json:"paused"`
		Trouble   string `json:"trouble"`
		Received  int64  `json:"received"`
		Committed int64  `json:"committed"`
		Delivered int64  `json:"delivered"`
		Filtered  int64  `json:"filtered"`
		InFlight  int64  `json:"in_flight"`
		Parked    int64  `json:"parked"`
		Replica   string `json:"replica"`
		Source    string `json:"source"`
		Intake    string `json:"intake"`
		Standby   bool   `json:"standby"`
		Relays    []struct {
			Name     string  `json:"name"`
			Kind     string  `json:"kind"`
			Target   string  `json:"target"`
			Position int64   `json:"position"`
			Lag      int64   `json:"lag"`
			Seconds  float64 `json:"lag_seconds"`
			Held     int64   `json:"held"`
			Owner    string  `json:"owner"`
			Standby  bool    `json:"standby"`
			Outage   string  `json:"outage"`
			Paused   bool    `json:"paused"`
		} `json:"relays"`
	} `json:"pipelines"`
	Works  []control.Work `json:"works"`
	Config control.Config `json:"config"`
}

// duties prints, for each pipeline that several replicas may run, what this one does of it and what it stands by for.
func (a *app) duties(s *status) {
	for i := range s.Pipelines {
		p := &s.Pipelines[i]
		if p.Replica == "" {
			continue
		}
		var owns, others []string
		duty := func(name, owner string, standby bool) {
			if standby {
				others = append(others, fmt.Sprintf("%s (%s)", name, cmp.Or(owner, "nobody")))
			} else {
				owns = append(owns, name)
			}
		}
		if p.Source != "" {
			duty("source "+p.Source, p.Intake, p.Standby)
		}
		for _, r := range p.Relays {
			duty(r.Name, r.Owner, r.Standby)
		}
		line := fmt.Sprintf("%s: replica %s does %s", p.Name, p.Replica, cmp.Or(strings.Join(owns, ", "), "nothing"))
		if len(others) > 0 {
			line += "; stands by for " + strings.Join(others, ", ")
		}
		fmt.Fprintln(a.out, line)
	}
}

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what the pipelines of a running daemon are doing",
		Args:  usageArgs(cobra.NoArgs),
	}
	server := a.serverFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		client, err := a.connect(*server)
		if err != nil {
			return err
		}
		defer client.Close()
		raw, err := client.Status(c.Context())
		if err != nil {
			return err
		}
		if a.lines() {
			return writeLine(a.out, raw)
		}
		var s status
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		g := newGrid(a.out, a.outColor(), "PIPELINE", "STATE", ">RECEIVED", ">FILTERED", ">COMMITTED", ">IN FLIGHT", ">PARKED")
		for _, p := range s.Pipelines {
			state := p.State
			switch {
			case p.Paused == "intake":
				state += ", intake paused"
			case p.Standby:
				state += ", source read by " + cmp.Or(p.Intake, "nobody")
			}
			if err := g.add(p.Name, state, number(p.Received), number(p.Filtered), number(p.Committed+p.Delivered), number(p.InFlight), number(p.Parked)); err != nil {
				return err
			}
		}
		if err := g.done(); err != nil {
			return err
		}
		fmt.Fprintln(a.out)
		g = newGrid(a.out, a.outColor(), "RELAY", "PIPELINE", "TARGET", ">POSITION", ">LAG", ">BEHIND", ">HELD", "STATE")
		for _, p := range s.Pipelines {
			for _, r := range p.Relays {
				state := "running"
				switch {
				case r.Outage != "":
					state = "waits: " + r.Outage
				case r.Paused:
					state = "paused"
				case r.Standby:
					state = "run by " + cmp.Or(r.Owner, "nobody")
				}
				behind := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second).String()
				if err := g.add(r.Name, p.Name, r.Target, number(r.Position), number(r.Lag), behind, number(r.Held), cut(state, 80)); err != nil {
					return err
				}
			}
		}
		if err := g.done(); err != nil {
			return err
		}
		a.duties(&s)
		for i := range s.Works {
			if w := &s.Works[i]; !w.Over() {
				fmt.Fprintf(a.out, "%s %s: %s of %s, %s\n", w.Kind, w.Target, number(w.Done), number(w.Total), w.State)
			}
		}
		if c := &s.Config; c.Error != "" {
			a.say("the configuration was not reloaded: %s", c.Error)
		}
		for _, what := range s.Config.Pending {
			a.say("needs a restart: %s", what)
		}
		for _, p := range s.Pipelines {
			if p.Trouble != "" {
				a.say("%s: %s", p.Name, p.Trouble)
			}
		}
		return nil
	}
	return c
}
