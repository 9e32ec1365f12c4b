# Two environments, one that says its package of Stream Governance, and the data
# sources that find them. The package can be raised: -var package=ADVANCED

variable "name" {
  default = "staging"
}

variable "package" {
  default = "ESSENTIALS"
}

resource "confluent_environment" "governed" {
  display_name = var.name

  stream_governance {
    package = var.package
  }
}

resource "confluent_environment" "plain" {
  display_name = "${var.name} as it comes"
}

data "confluent_environment" "by_id" {
  id         = confluent_environment.governed.id
  depends_on = [confluent_environment.governed]
}

data "confluent_environment" "by_name" {
  display_name = confluent_environment.plain.display_name
  depends_on   = [confluent_environment.plain]
}

data "confluent_environments" "all" {
  depends_on = [confluent_environment.governed, confluent_environment.plain]
}

output "governed" {
  value = confluent_environment.governed
}

output "plain" {
  value = confluent_environment.plain
}

output "by_id" {
  value = data.confluent_environment.by_id
}

output "by_name" {
  value = data.confluent_environment.by_name
}

output "all" {
  value = data.confluent_environments.all.ids
}
