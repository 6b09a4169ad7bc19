package config

import "reflect"

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

// PluginsOf lists the plugins that a pipeline uses: its source, its sinks, in branches and copies too.
func PluginsOf(p *Pipeline) []Plugin {
	var all []Plugin
	gatherPlugins(reflect.ValueOf(p), &all)
	return all
}

func gatherPlugins(v reflect.Value, all *[]Plugin) {
	if v.Kind() == reflect.Struct && v.Type() == typePlugin {
		if p := v.Interface().(Plugin); p.Config != nil {
			*all = append(*all, p)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			gatherPlugins(v.Elem(), all)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				gatherPlugins(v.Field(i), all)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			gatherPlugins(v.Index(i), all)
		}
	}
}
