//! Questions of expressions about rights, answered as authorisation answers requests.

use crate::api::admission::Attributes;
use crate::object::cel::{Authorizer, Question};
use crate::object::{Target, User};

/// Answers for the user of a request.
pub struct Rights<'a, 'b>(pub &'b Attributes<'a>);

impl Authorizer for Rights<'_, '_> {
    fn check(&self, question: &Question) -> (bool, String) {
        let account = question.service_account.as_ref().map(|(namespace, name)| User::service_account(namespace, name));
        let user = account.as_deref().unwrap_or(self.0.user);
        let refused = match &question.path {
            Some(path) => self.0.ask_path(user, &question.verb, path),
            None => self.0.ask_resource(
                user,
                &question.verb,
                &Target {
                    group: question.group.clone(),
                    version: "*".into(),
                    resource: question.resource.clone(),
                    namespace: question.namespace.clone(),
                    name: question.name.clone(),
                    subresource: question.subresource.clone(),
                },
            ),
        };
        match refused {
            None => (true, String::new()),
            Some(why) => (false, why),
        }
    }
}
