# What a team begins with: an environment, a service account that administers
# it, and the key that its pipeline uses.

variable "team" {
  default = "payments"
}

resource "confluent_environment" "team" {
  display_name = var.team
}

resource "confluent_service_account" "admin" {
  display_name = "${var.team}-admin"
  description  = "Administers ${var.team}"
}

resource "confluent_role_binding" "admin" {
  principal   = "User:${confluent_service_account.admin.id}"
  role_name   = "EnvironmentAdmin"
  crn_pattern = confluent_environment.team.resource_name
}

resource "confluent_api_key" "admin" {
  display_name = "${var.team}-admin"

  owner {
    id          = confluent_service_account.admin.id
    api_version = confluent_service_account.admin.api_version
    kind        = confluent_service_account.admin.kind
  }

  depends_on = [confluent_role_binding.admin]
}

output "environment" {
  value = confluent_environment.team.id
}

output "key" {
  value = confluent_api_key.admin.id
}

output "secret" {
  value     = confluent_api_key.admin.secret
  sensitive = true
}
