# IP filters: one for the organization, and some for an environment of its own.
# Terraform must run where they let it in.

variable "name" {
  default = "Management API Rules"
}

variable "operations" {
  type    = set(string)
  default = ["SCHEMA", "FLINK"]
}

variable "resource_group" {
  default = "multiple"
}

data "confluent_organization" "this" {}

resource "confluent_environment" "guarded" {
  display_name = "guarded"
}

resource "confluent_ip_group" "here" {
  group_name  = "where Terraform runs"
  cidr_blocks = ["127.0.0.0/8"]
}

resource "confluent_ip_filter" "management" {
  filter_name    = var.name
  resource_group = "management"
  ip_groups      = [confluent_ip_group.here.id]
}

resource "confluent_ip_filter" "environment" {
  filter_name      = "Environment"
  resource_group   = "multiple"
  resource_scope   = confluent_environment.guarded.resource_name
  operation_groups = var.operations
  ip_groups        = [confluent_ip_group.here.id]
}

# Goes from one resource group to the other.
resource "confluent_ip_filter" "changing" {
  filter_name    = "Changing"
  resource_group = var.resource_group
  resource_scope = data.confluent_organization.this.resource_name
  ip_groups      = [confluent_ip_group.here.id]
}

# Closes the management of Kafka to every public network.
resource "confluent_ip_filter" "closed" {
  filter_name      = "Closed"
  resource_group   = "multiple"
  resource_scope   = confluent_environment.guarded.resource_name
  operation_groups = ["KAFKA_MANAGEMENT"]
  ip_groups        = ["ipg-none"]
}

data "confluent_ip_filter" "by_id" {
  id         = confluent_ip_filter.environment.id
  depends_on = [confluent_ip_filter.environment]
}

output "management" {
  value = confluent_ip_filter.management
}

output "environment" {
  value = confluent_ip_filter.environment
}

output "changing" {
  value = confluent_ip_filter.changing
}

output "by_id" {
  value = data.confluent_ip_filter.by_id
}

output "guarded" {
  value = confluent_environment.guarded.resource_name
}
