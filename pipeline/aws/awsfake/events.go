package awsfake

import (
	"encoding/json"
	"fmt"
	"strings"
)

const maxPut = 1 << 20

// Entry is an event that was put.
type Entry struct {
	Source, DetailType, Detail, EventBusName, TraceHeader string
	Resources                                             []string
	Time                                                  json.Number
}

type putEventsRequest struct{ Entries []Entry }

// CreateBus makes a bus.
func (c *Cloud) CreateBus(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.buses[name]; !ok {
		c.buses[name] = nil
	}
}

// DeleteBus removes a bus.
func (c *Cloud) DeleteBus(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.buses, name)
}

// Events gives what was put on a bus, in its order.
func (c *Cloud) Events(bus string) []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Entry(nil), c.buses[bus]...)
}

type busRequest struct{ Name string }

func (c *Cloud) createBus(in busRequest) (any, error) {
	c.CreateBus(in.Name)
	return map[string]string{"EventBusArn": busARN(in.Name)}, nil
}

func busARN(name string) string { return "arn:aws:events:eu-west-1:" + Account + ":event-bus/" + name }

// busName reads a bus's name or ARN.
func busName(s string) string {
	if s = strings.TrimPrefix(s, busARN("")); s != "" {
		return s
	}
	return "default"
}

func (c *Cloud) describeBus(in busRequest) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := busName(in.Name)
	if _, ok := c.buses[name]; !ok {
		return nil, refuse("ResourceNotFoundException", "Event bus %s does not exist.", name)
	}
	return map[string]string{"Name": name, "Arn": busARN(name)}, nil
}

type putResult struct {
	EventId      string `json:",omitempty"` //nolint:revive // the protocol's spelling
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

// putEvents keeps the service's rules: what is put on a bus that does not exist gets an id and is lost.
func (c *Cloud) putEvents(in putEventsRequest, f Fault) (any, error) {
	total := 0
	for i := range in.Entries {
		total += in.Entries[i].size()
	}
	switch {
	case len(in.Entries) == 0 || len(in.Entries) > 10:
		return nil, refuse("ValidationException", "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length less than or equal to 10")
	case total >= maxPut:
		return nil, refuse("ValidationException", "Total size of the entries in the request is over the limit.")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	results := make([]putResult, len(in.Entries))
	failed := 0
	for i, e := range in.Entries {
		r := &results[i]
		switch code, message := e.check(); {
		case code != "":
			r.ErrorCode, r.ErrorMessage = code, message
		case f.fails(i):
			r.ErrorCode, r.ErrorMessage = f.eventCode(), "made by the plan"
		default:
			c.serial++
			r.EventId = fmt.Sprintf("11111111-0000-4000-8000-%012d", c.serial)
			name := busName(e.EventBusName)
			if _, ok := c.buses[name]; ok {
				c.buses[name] = append(c.buses[name], e)
				c.route(name, r.EventId, &e)
			}
			continue
		}
		failed++
	}
	return map[string]any{"FailedEntryCount": failed, "Entries": results}, nil
}

func (f Fault) eventCode() string {
	if f.EntryCode != "" {
		return f.EntryCode
	}
	return "InternalFailure"
}

func (e *Entry) size() int {
	n := len(e.Source) + len(e.DetailType) + len(e.Detail)
	if e.Time != "" {
		n += 14
	}
	for _, r := range e.Resources {
		n += len(r)
	}
	return n
}

func (e *Entry) check() (code, message string) {
	for _, f := range []struct{ name, value string }{{"Source", e.Source}, {"DetailType", e.DetailType}, {"Detail", e.Detail}} {
		if f.value == "" {
			return "InvalidArgument", fmt.Sprintf("Parameter %s is not valid. Reason: %s is a required argument.", f.name, f.name)
		}
	}
	var object map[string]json.RawMessage
	switch {
	case json.Unmarshal([]byte(e.Detail), &object) != nil || object == nil:
		return "MalformedDetail", "Detail is malformed."
	case strings.HasPrefix(e.Source, "aws."):
		return "NotAuthorizedForSourceException", "Not authorized for the source."
	case len(e.DetailType) > 128:
		return "InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType must be at most 128 characters."
	}
	return "", ""
}
