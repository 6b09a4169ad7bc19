package feed

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Statement is a statement of a queue's policy that lets a service send to it.
type Statement struct {
	Sid       string
	Effect    string
	Principal map[string]string
	Action    string
	Resource  string
	Condition map[string]map[string]string
}

// Let makes the statement by which a service may send to a queue for one source: a rule, a topic.
func Let(service, queueARN, sourceARN string) Statement {
	return Statement{
		Sid: sid(sourceARN), Effect: "Allow", Principal: map[string]string{"Service": service}, Action: "sqs:SendMessage", Resource: queueARN,
		Condition: map[string]map[string]string{"ArnEquals": {"aws:SourceArn": sourceARN}},
	}
}

var notAlphanumeric = regexp.MustCompile(`[^A-Za-z0-9]+`)

// sid names a statement by what it lets in, in the letters and digits that every policy takes.
func sid(sourceARN string) string {
	_, resource, _ := strings.Cut(sourceARN, ":"+account(sourceARN)+":")
	words := notAlphanumeric.Split(resource, -1)
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return "Leat" + strings.Join(words, "") + short(sourceARN)
}

// account gives the account of an ARN.
func account(arn string) string {
	if p := strings.SplitN(arn, ":", 6); len(p) == 6 {
		return p[4]
	}
	return ""
}

// Merge puts a statement into a policy, in the place of one with its Sid. The statements of others stay as they are. It
// reports whether anything changed.
func Merge(policy string, s Statement) (merged string, changed bool, err error) {
	doc := struct {
		Version   string
		ID        string `json:"Id,omitempty"`
		Statement []json.RawMessage
	}{Version: "2012-10-17"}
	if policy != "" {
		var loose struct {
			Version   string
			ID        string `json:"Id"`
			Statement json.RawMessage
		}
		if err := json.Unmarshal([]byte(policy), &loose); err != nil {
			return "", false, fmt.Errorf("feed: the queue's policy cannot be read: %w", err)
		}
		if loose.Version != "" {
			doc.Version = loose.Version
		}
		doc.ID = loose.ID
		if doc.Statement, err = oneOrMore(loose.Statement); err != nil {
			return "", false, fmt.Errorf("feed: the queue's policy cannot be read: %w", err)
		}
	}
	own, err := json.Marshal(s)
	if err != nil {
		return "", false, fmt.Errorf("feed: %w", err)
	}
	at := -1
	for i, raw := range doc.Statement {
		var other struct{ Sid string }
		if json.Unmarshal(raw, &other) == nil && other.Sid == s.Sid {
			at = i
		}
	}
	switch {
	case at < 0:
		doc.Statement = append(doc.Statement, own)
	case same(doc.Statement[at], own):
		return policy, false, nil
	default:
		doc.Statement[at] = own
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return "", false, fmt.Errorf("feed: %w", err)
	}
	return string(out), true, nil
}

// oneOrMore reads what JSON policies write as one thing or a list of them.
func oneOrMore(raw json.RawMessage) (all []json.RawMessage, err error) {
	switch text := strings.TrimSpace(string(raw)); {
	case text == "" || text == "null":
		return nil, nil
	case text[0] == '[':
		err = json.Unmarshal(raw, &all)
		return all, err
	}
	return []json.RawMessage{raw}, nil
}

// texts reads a text or a list of texts.
func texts(raw json.RawMessage) (all []string) {
	list, err := oneOrMore(raw)
	if err != nil {
		return nil
	}
	for _, v := range list {
		var s string
		if json.Unmarshal(v, &s) == nil {
			all = append(all, s)
		}
	}
	return all
}

func same(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	one, err1 := json.Marshal(x)
	other, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && string(one) == string(other)
}

// Allows reports whether a queue's policy lets a service send to the queue for a source. Conditions that it does not know
// it takes as met, so that what it calls denied is.
func Allows(policy, service, queueARN, sourceARN string) bool {
	var doc struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(policy), &doc) != nil {
		return false
	}
	list, err := oneOrMore(doc.Statement)
	if err != nil {
		return false
	}
	allowed := false
	for _, raw := range list {
		var s struct {
			Effect                      string
			Principal, Action, Resource json.RawMessage
			Condition                   map[string]map[string]json.RawMessage
		}
		if json.Unmarshal(raw, &s) != nil || !principal(s.Principal, service) || !matches(texts(s.Action), "sqs:SendMessage", true) || !matches(texts(s.Resource), queueARN, false) {
			continue
		}
		switch {
		case s.Effect == "Deny" && len(s.Condition) == 0:
			return false
		case s.Effect == "Allow" && conditions(s.Condition, sourceARN):
			allowed = true
		}
	}
	return allowed
}

func principal(raw json.RawMessage, service string) bool {
	if all := texts(raw); len(all) > 0 {
		return all[0] == "*"
	}
	var by map[string]json.RawMessage
	if json.Unmarshal(raw, &by) != nil {
		return false
	}
	return matches(texts(by["Service"]), service, true) || matches(texts(by["AWS"]), "*", false)
}

func conditions(all map[string]map[string]json.RawMessage, sourceARN string) bool {
	for operator, by := range all {
		if !strings.HasPrefix(operator, "Arn") && !strings.HasPrefix(operator, "String") || strings.Contains(operator, "Not") {
			continue
		}
		for key, value := range by {
			switch strings.ToLower(key) {
			case "aws:sourcearn":
				if !matches(texts(value), sourceARN, false) {
					return false
				}
			case "aws:sourceaccount":
				if !matches(texts(value), account(sourceARN), false) {
					return false
				}
			}
		}
	}
	return true
}

// matches reports whether one of the patterns, in which * and ? stand for others, fits.
func matches(patterns []string, s string, fold bool) bool {
	for _, p := range patterns {
		expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(p))
		if fold {
			expr = "(?i)" + expr
		}
		if re, err := regexp.Compile("^(?:" + expr + ")$"); err == nil && re.MatchString(s) {
			return true
		}
	}
	return false
}
