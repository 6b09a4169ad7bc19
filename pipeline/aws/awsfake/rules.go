package awsfake

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/pattern"
)

// rule is a rule of a bus. Its targets are queues of this cloud.
type rule struct {
	name, bus, text, state string
	pattern                *pattern.Pattern
	targets                map[string]target
	tags                   map[string]string
}

type target struct {
	ID               string `json:"Id"`
	Arn              string
	SqsParameters    *struct{ MessageGroupId string } `json:",omitempty"` //nolint:revive // the protocol's spelling
	DeadLetterConfig json.RawMessage                  `json:",omitempty"`
	RetryPolicy      json.RawMessage                  `json:",omitempty"`
}

func (r *rule) arn() string {
	a := "arn:aws:events:eu-west-1:" + Account + ":rule/"
	if r.bus != "default" {
		a += r.bus + "/"
	}
	return a + r.name
}

// Rules gives the names of a bus's rules.
func (c *Cloud) Rules(bus string) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, arn := range slices.Sorted(maps.Keys(c.rules)) {
		if r := c.rules[arn]; r.bus == bus {
			names = append(names, r.name)
		}
	}
	return names
}

// Queues gives the names of all queues.
func (c *Cloud) Queues() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.queues))
}

// QueueAttribute gives an attribute that a queue was made with or set to.
func (c *Cloud) QueueAttribute(queue, name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q := c.queues[queue]; q != nil {
		return q.given[name]
	}
	return ""
}

// route hands an event to the queues behind the rules that match. A queue whose policy does not let the rule in gets
// nothing, as with the service.
func (c *Cloud) route(bus, id string, e *Entry) {
	at := time.Now().UTC()
	if seconds, err := e.Time.Float64(); err == nil && e.Time != "" {
		at = time.UnixMilli(int64(seconds * 1000)).UTC()
	}
	resources := e.Resources
	if resources == nil {
		resources = []string{}
	}
	body, err := json.Marshal(struct {
		Version    string          `json:"version"`
		ID         string          `json:"id"`
		DetailType string          `json:"detail-type"`
		Source     string          `json:"source"`
		Account    string          `json:"account"`
		Time       string          `json:"time"`
		Region     string          `json:"region"`
		Resources  []string        `json:"resources"`
		Detail     json.RawMessage `json:"detail"`
	}{"0", id, e.DetailType, e.Source, Account, at.Format(time.RFC3339), "eu-west-1", resources, json.RawMessage(e.Detail)})
	if err != nil {
		return
	}
	for _, arn := range slices.Sorted(maps.Keys(c.rules)) {
		r := c.rules[arn]
		if r.bus != bus || r.state == "DISABLED" || r.pattern == nil {
			continue
		}
		if ok, err := r.pattern.Match(body); err != nil || !ok {
			continue
		}
		for _, t := range r.targets {
			q := c.queues[t.Arn[strings.LastIndexByte(t.Arn, ':')+1:]]
			if q == nil || !q.lets(arn) {
				continue
			}
			m := Message{Body: string(body), Trace: e.TraceHeader}
			if q.fifo && t.SqsParameters != nil {
				m.Group, m.Dedup = t.SqsParameters.MessageGroupId, sum(string(body))
			}
			c.put(q, m)
		}
	}
}

// lets reports whether a queue's policy lets EventBridge send for a rule.
func (q *queue) lets(ruleARN string) bool {
	var policy struct {
		Statement []struct {
			Effect    string
			Principal struct{ Service string }
			Action    string
			Resource  string
			Condition map[string]map[string]string
		}
	}
	if json.Unmarshal([]byte(q.given["Policy"]), &policy) != nil {
		return false
	}
	for _, s := range policy.Statement {
		if s.Effect != "Allow" || s.Principal.Service != "events.amazonaws.com" || !strings.EqualFold(s.Action, "sqs:SendMessage") || s.Resource != q.arn() {
			continue
		}
		ok := true
		for _, condition := range s.Condition {
			if arn, set := condition["aws:SourceArn"]; set && arn != ruleARN {
				ok = false
			}
		}
		if ok {
			return true
		}
	}
	return false
}

func (q *queue) set(attributes map[string]string) {
	if q.given == nil {
		q.given = map[string]string{}
	}
	for name, value := range attributes {
		switch name {
		case "VisibilityTimeout":
			if seconds, err := strconv.Atoi(value); err == nil {
				q.visibility = time.Duration(seconds) * time.Second
			}
		case "RedrivePolicy":
			var p struct {
				DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
				MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
			}
			if json.Unmarshal([]byte(value), &p) == nil {
				q.dead = p.DeadLetterTargetArn[strings.LastIndexByte(p.DeadLetterTargetArn, ':')+1:]
				q.maxReceive, _ = strconv.Atoi(strings.Trim(string(p.MaxReceiveCount), `"`))
			}
		case "ContentBasedDeduplication":
			q.content = value == "true"
		default:
			q.given[name] = value
		}
	}
}

type tag struct{ Key, Value string }

type ruleRequest struct {
	Name, EventBusName, EventPattern, State, NamePrefix string
	Rule, ResourceARN, TargetArn                        string
	Tags                                                []tag
	Targets                                             []target
	IDs                                                 []string `json:"Ids"`
}

// more answers the calls that set up queues and rules, nil for any other.
func (c *Cloud) more(op string, body []byte) func() (any, error) {
	rules := map[string]func(ruleRequest) (any, error){
		"AWSEvents.ListEventBuses": c.listBuses, "AWSEvents.PutRule": c.putRule, "AWSEvents.DeleteRule": c.deleteRule,
		"AWSEvents.DescribeRule": c.describeRule, "AWSEvents.ListRules": c.listRules, "AWSEvents.PutTargets": c.putTargets,
		"AWSEvents.RemoveTargets": c.removeTargets, "AWSEvents.ListTargetsByRule": c.listTargets,
		"AWSEvents.ListTagsForResource": c.listRuleTags, "AWSEvents.TagResource": c.tagRule,
		"AWSEvents.ListRuleNamesByTarget": c.rulesByTarget,
	}
	if do := rules[op]; do != nil {
		return func() (any, error) { return locked(c, body, do) }
	}
	queues := map[string]func(tagRequest) (any, error){
		"AmazonSQS.SetQueueAttributes": c.setAttributes, "AmazonSQS.ListQueues": c.listQueues,
		"AmazonSQS.ListQueueTags": c.listQueueTags, "AmazonSQS.TagQueue": c.tagQueue,
	}
	if do := queues[op]; do != nil {
		return func() (any, error) { return locked(c, body, do) }
	}
	return nil
}

func locked[In any](c *Cloud, body []byte, do func(In) (any, error)) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return call(body, do)
}

func (c *Cloud) listBuses(in ruleRequest) (any, error) {
	var out []map[string]string
	for _, name := range slices.Sorted(maps.Keys(c.buses)) {
		if strings.HasPrefix(name, in.NamePrefix) {
			out = append(out, map[string]string{"Name": name, "Arn": busARN(name)})
		}
	}
	return map[string]any{"EventBuses": out}, nil
}

func (c *Cloud) ruleOf(name, bus string) (*rule, error) {
	r := &rule{name: name, bus: busName(bus)}
	if found := c.rules[r.arn()]; found != nil {
		return found, nil
	}
	return nil, refuse("ResourceNotFoundException", "Rule %s does not exist on EventBus %s.", name, r.bus)
}

func (c *Cloud) putRule(in ruleRequest) (any, error) {
	bus := busName(in.EventBusName)
	if _, ok := c.buses[bus]; !ok {
		return nil, refuse("ResourceNotFoundException", "Event bus %s does not exist.", bus)
	}
	p, err := pattern.CompileString(in.EventPattern)
	if err != nil {
		var bad *pattern.Error
		if errors.As(err, &bad) {
			err = errors.New(bad.Reason)
		}
		return nil, refuse("InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
	}
	r := &rule{name: in.Name, bus: bus, targets: map[string]target{}, tags: map[string]string{}}
	if old := c.rules[r.arn()]; old != nil {
		r = old
	} else {
		for _, t := range in.Tags {
			r.tags[t.Key] = t.Value
		}
	}
	r.text, r.pattern, r.state = in.EventPattern, p, in.State
	if r.state == "" {
		r.state = "ENABLED"
	}
	c.rules[r.arn()] = r
	return map[string]string{"RuleArn": r.arn()}, nil
}

func (c *Cloud) deleteRule(in ruleRequest) (any, error) {
	r, err := c.ruleOf(in.Name, in.EventBusName)
	if err != nil {
		return nil, nil //nolint:nilerr // the service says yes
	}
	if len(r.targets) > 0 {
		return nil, refuse("ValidationException", "Rule can't be deleted since it has targets.")
	}
	delete(c.rules, r.arn())
	return nil, nil
}

func (r *rule) show() map[string]string {
	return map[string]string{"Name": r.name, "Arn": r.arn(), "EventPattern": r.text, "State": r.state, "EventBusName": r.bus}
}

func (c *Cloud) describeRule(in ruleRequest) (any, error) {
	r, err := c.ruleOf(in.Name, in.EventBusName)
	if err != nil {
		return nil, err
	}
	return r.show(), nil
}

func (c *Cloud) listRules(in ruleRequest) (any, error) {
	var out []map[string]string
	for _, arn := range slices.Sorted(maps.Keys(c.rules)) {
		if r := c.rules[arn]; r.bus == busName(in.EventBusName) && strings.HasPrefix(r.name, in.NamePrefix) {
			out = append(out, r.show())
		}
	}
	return map[string]any{"Rules": out}, nil
}

func (c *Cloud) rulesByTarget(in ruleRequest) (any, error) {
	names := []string{}
	for _, arn := range slices.Sorted(maps.Keys(c.rules)) {
		r := c.rules[arn]
		for _, t := range r.targets {
			if r.bus == busName(in.EventBusName) && t.Arn == in.TargetArn && !slices.Contains(names, r.name) {
				names = append(names, r.name)
			}
		}
	}
	return map[string]any{"RuleNames": names}, nil
}

func (c *Cloud) putTargets(in ruleRequest) (any, error) {
	r, err := c.ruleOf(in.Rule, in.EventBusName)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Targets {
		r.targets[t.ID] = t
	}
	return map[string]any{"FailedEntryCount": 0, "FailedEntries": []string{}}, nil
}

func (c *Cloud) removeTargets(in ruleRequest) (any, error) {
	r, err := c.ruleOf(in.Rule, in.EventBusName)
	if err != nil {
		return nil, err
	}
	for _, id := range in.IDs {
		delete(r.targets, id)
	}
	return map[string]any{"FailedEntryCount": 0, "FailedEntries": []string{}}, nil
}

func (c *Cloud) listTargets(in ruleRequest) (any, error) {
	r, err := c.ruleOf(in.Rule, in.EventBusName)
	if err != nil {
		return nil, err
	}
	out := []target{}
	for _, id := range slices.Sorted(maps.Keys(r.targets)) {
		out = append(out, r.targets[id])
	}
	return map[string]any{"Targets": out}, nil
}

func (c *Cloud) listRuleTags(in ruleRequest) (any, error) {
	r := c.rules[in.ResourceARN]
	if r == nil {
		return nil, refuse("ResourceNotFoundException", "Rule %s does not exist.", in.ResourceARN)
	}
	out := []tag{}
	for _, key := range slices.Sorted(maps.Keys(r.tags)) {
		out = append(out, tag{key, r.tags[key]})
	}
	return map[string]any{"Tags": out}, nil
}

func (c *Cloud) tagRule(in ruleRequest) (any, error) {
	r := c.rules[in.ResourceARN]
	if r == nil {
		return nil, refuse("ResourceNotFoundException", "Rule %s does not exist.", in.ResourceARN)
	}
	for _, t := range in.Tags {
		r.tags[t.Key] = t.Value
	}
	return nil, nil
}

type tagRequest struct {
	QueueUrl, QueueNamePrefix string //nolint:revive // the protocol's spelling
	Attributes, Tags          map[string]string
}

func (c *Cloud) setAttributes(in tagRequest) (any, error) {
	q, err := c.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	q.set(in.Attributes)
	return nil, nil
}

func (c *Cloud) listQueues(in tagRequest) (any, error) {
	var urls []string
	for _, name := range slices.Sorted(maps.Keys(c.queues)) {
		if strings.HasPrefix(name, in.QueueNamePrefix) {
			urls = append(urls, c.queues[name].url())
		}
	}
	return map[string]any{"QueueUrls": urls}, nil
}

func (c *Cloud) listQueueTags(in tagRequest) (any, error) {
	q, err := c.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Tags": q.tags}, nil
}

func (c *Cloud) tagQueue(in tagRequest) (any, error) {
	q, err := c.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if q.tags == nil {
		q.tags = map[string]string{}
	}
	maps.Copy(q.tags, in.Tags)
	return nil, nil
}
