# Roles on an environment and on a service account. A role binding is never
# changed, but replaced: -var role=DataDiscovery

variable "role" {
  default = "EnvironmentAdmin"
}

data "confluent_organization" "this" {}

resource "confluent_environment" "staging" {
  display_name = "staging"
}

resource "confluent_service_account" "operator" {
  display_name = "operator"
}

resource "confluent_service_account" "app" {
  display_name = "app"
}

resource "confluent_role_binding" "environment" {
  principal              = "User:${confluent_service_account.operator.id}"
  role_name              = var.role
  crn_pattern            = confluent_environment.staging.resource_name
  disable_wait_for_ready = true
}

resource "confluent_role_binding" "service_account" {
  principal   = "User:${confluent_service_account.operator.id}"
  role_name   = "ResourceOwner"
  crn_pattern = "${data.confluent_organization.this.resource_name}/service-account=${confluent_service_account.app.id}"
}

data "confluent_role_binding" "by_id" {
  id = confluent_role_binding.environment.id
}

output "operator" {
  value = confluent_service_account.operator.id
}

output "app" {
  value = confluent_service_account.app.id
}

output "environment" {
  value = confluent_role_binding.environment
}

output "service_account" {
  value = confluent_role_binding.service_account
}

output "by_id" {
  value = data.confluent_role_binding.by_id
}
