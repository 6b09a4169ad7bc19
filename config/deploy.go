package config

// Statement is a statement of an IAM policy: what a plugin may do, and on what. Where account or region are not known
// from the config, ARNs hold * in their place.
type Statement struct {
	Sid      string
	Effect   string
	Action   []string
	Resource []string
}

// Allow makes a statement.
func Allow(sid string, actions []string, resources ...string) Statement {
	return Statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

// Permitted is implemented by config structs of plugins that need rights on AWS: the least with which they work as
// configured. `leat describe --policy` prints it.
type Permitted interface {
	Permissions() []Statement
}

// Deployed is implemented by config structs of plugins that need things on AWS that somebody has to deploy. The
// templates are what goes under CloudFormation's Resources, indented by two spaces, and Terraform's blocks.
type Deployed interface {
	CloudFormation(pipeline string) string
	Terraform(pipeline string) string
}
