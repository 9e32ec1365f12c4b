# What is there before anything is made: the organization and its first user.

data "confluent_organization" "this" {}

data "confluent_users" "all" {}

data "confluent_user" "by_id" {
  id = data.confluent_users.all.ids[0]
}

data "confluent_user" "by_email" {
  email = data.confluent_user.by_id.email
}

data "confluent_user" "by_name" {
  full_name = data.confluent_user.by_id.full_name
}

output "organization" {
  value = data.confluent_organization.this
}

output "users" {
  value = data.confluent_users.all.ids
}

output "by_id" {
  value = data.confluent_user.by_id
}

output "by_email" {
  value = data.confluent_user.by_email
}

output "by_name" {
  value = data.confluent_user.by_name
}
