# A mapping from groups of the identity provider to a principal with a role.

variable "filter" {
  default = "\"engineering\" in groups"
}

variable "description" {
  default = "Who builds it"
}

data "confluent_organization" "this" {}

resource "confluent_group_mapping" "engineers" {
  display_name = "engineers"
  description  = var.description
  filter       = var.filter
}

resource "confluent_role_binding" "engineers" {
  principal   = "User:${confluent_group_mapping.engineers.id}"
  role_name   = "MetricsViewer"
  crn_pattern = data.confluent_organization.this.resource_name
}

data "confluent_group_mapping" "by_id" {
  id         = confluent_group_mapping.engineers.id
  depends_on = [confluent_group_mapping.engineers]
}

data "confluent_group_mapping" "by_name" {
  display_name = confluent_group_mapping.engineers.display_name
  depends_on   = [confluent_group_mapping.engineers]
}

output "engineers" {
  value = confluent_group_mapping.engineers
}

output "by_id" {
  value = data.confluent_group_mapping.by_id
}

output "by_name" {
  value = data.confluent_group_mapping.by_name
}
