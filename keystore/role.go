package keystore

// A Role is what a member may do in a Deployment.
type Role string

// The roles, each with what the one before it may do.
const (
	RoleViewer Role = "viewer" // airflow:read
	RoleEditor Role = "editor" // + airflow:write, deploy
	RoleAdmin  Role = "admin"  // + keys and members
)

// ParseRole reads a role. The error wraps [ErrInvalid] and lists the roles there are.
func ParseRole(name string) (Role, error) {
	switch role := Role(name); role {
	case RoleViewer, RoleEditor, RoleAdmin:
		return role, nil
	}
	if len(name) > longestRepeated {
		return "", invalid("unknown role: the roles are viewer, editor, admin")
	}
	return "", invalid("unknown role %q: the roles are viewer, editor, admin", name)
}

// Scopes says what a member with this role may do with a token. An unknown role may do nothing.
func (r Role) Scopes() Scopes {
	switch r {
	case RoleViewer:
		return ScopeAirflowRead
	case RoleEditor, RoleAdmin:
		return AllScopes
	}
	return 0
}

// ManagesKeys reports whether a member with this role may make, edit and delete keys and members.
func (r Role) ManagesKeys() bool { return r == RoleAdmin }
