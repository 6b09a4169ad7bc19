package eventbridge

import "github.com/leatdev/leat/config"

// Permissions implements config.Permitted.
func (c Config) Permissions() []config.Statement {
	return []config.Statement{config.Allow("PutOnTheBus", []string{"events:PutEvents", "events:DescribeEventBus"}, c.ARN("events", c.Target(), "event-bus/"))}
}
